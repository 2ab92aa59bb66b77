export { claimOn, type Candidate, type CandidateSet, type Claim } from './candidate.js';
export { checkRules } from './check-rules.js';
export { DEFAULT_RULES, systemRuleOf, type Rule } from './deny.js';
export type { Expression } from './expression.js';
export { FIELD_NAMES, isFlag } from './fields.js';
export { formatShort } from './format-short.js';
export { isExplicit, parseRequest, parseSelector } from './parse-selector.js';
export { formatStructured, parseStructured, type RequestOptions } from './parse-structured.js';
export { formatPin, parsePin, pinDevice, type Pin, type PinnedDevice } from './pin.js';
export { readPolicyFile, rulesFor, type PolicyFile, type Tenant } from './policy-file.js';
export { reserveDevices, type ReserveOptions } from './reserve.js';
export {
  reserveWhenFree,
  type Choose,
  type ReserveHost,
  type ReserveWish,
} from './reserve-wait.js';
export { formatPolicy, parsePolicy, type Policy } from './policy.js';
export type { SelectionHost } from './read-candidates.js';
export type { Rejection, RejectionReason } from './refusals.js';
export type { NumaMode, SelectorRequest } from './request.js';
export { readCandidates } from './read-candidates.js';
export {
  explainSelector,
  resolveSelector,
  type Explanation,
  type ResolveOptions,
} from './resolve-selector.js';
export type { Resolution } from './resolution.js';
export { selectCandidate, selectDevice, type SelectOptions } from './select-device.js';
export { isAddress } from './sugar.js';
