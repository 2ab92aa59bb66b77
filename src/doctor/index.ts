export type { Check, Profile, Subject } from './check.js';
export { examineDesired } from './examine-desired.js';
export type { Answer, Evidence, Finding, Verdict } from './finding.js';
export { CHECKS, SUBJECTS } from './registry.js';
export { runDoctor, type DoctorRequest } from './run-doctor.js';
export { compileFilter, type CheckFilter } from './select-checks.js';
