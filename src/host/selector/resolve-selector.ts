import { createHash } from 'node:crypto';
import type { Clock } from '../../clock.js';
import { RefusedError } from '../../errors.js';
import { stringifyJson, type JsonValue } from '../../json.js';
import type { Logger } from '../../logger.js';
import { rememberReads } from '../inventory/remember.js';
import { hostFailure } from '../reading.js';
import { claimOn, type Candidate, type CandidateSet } from './candidate.js';
import { compileRules, DEFAULT_RULES, fieldsOfRules, type Rule } from './deny.js';
import { checkExpectation } from './expect.js';
import type { Expression } from './expression.js';
import { locatePaths, locateRules } from './locate.js';
import { fieldsOf } from './match.js';
import { changeBetween, exchangeAnswer } from './last-answers.js';
import { formatOrderKey, placementOf } from './order.js';
import { isExplicit, matchesEverything } from './parse-selector.js';
import { checkPin, parsePin, PIN_FIELDS, type PinOutcome } from './pin.js';
import { formatPolicy } from './policy.js';
import { readCandidates, withUses, type SelectionHost } from './read-candidates.js';
import type { Rejection } from './refusals.js';
import { nameWithId, report } from './report.js';
import type { SelectorRequest } from './request.js';
import type { Resolution } from './resolution.js';
import {
  canonicalText,
  choose,
  explainAll,
  findMatches,
  isShortage,
  type ResolveRules,
} from './resolve.js';

export interface ResolveOptions {
  /** Rules before the default ones; the first that matches decides. */
  readonly rules?: readonly Rule[] | undefined;
  /** False asks no rules: for looking, and for what is in the VM already. Default true. */
  readonly guarded?: boolean | undefined;
  /** Whether devices in use or reserved are passed over; default true where the device is described. */
  readonly onlyFree?: boolean | undefined;
  /** Whose reservations are no conflict: the VM's key, or the owner of `host reserve`. */
  readonly scope?: string | undefined;
  /** For whom devices may have been set aside: `host reserve --for`. */
  readonly owner?: string | undefined;
  /** Candidates that may be chosen, by address or UUID; default all. */
  readonly among?: ReadonlySet<string> | undefined;
  /** Reads every device although only one is named: for what is said of its neighbours. */
  readonly readAll?: boolean | undefined;
  /** Permits a selector that every device matches. */
  readonly yesAll?: boolean | undefined;
  readonly logger?: Logger | undefined;
  /** By which the log tells how long it took; without it it does not. */
  readonly clock?: Clock | undefined;
  /** Milliseconds since 1970; default the system's time. */
  readonly wallClock?: (() => number) | undefined;
}

/**
 * Finds the devices a selector means. The same host and selector give the same answer; nothing of the host is changed,
 * and what a description meant is kept in `host.answers`, where there is such a place.
 *
 * @throws {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `TOO_FEW`, `DENIED`, `IN_USE`, `CONFLICT`.
 */
export async function resolveSelector(
  host: SelectionHost,
  request: SelectorRequest,
  options: ResolveOptions = {},
): Promise<Resolution> {
  const remembered = { ...host, effects: rememberReads(host.effects) };
  let first: RefusedError | undefined;
  for (const alternative of [request, ...request.orElse]) {
    try {
      return await resolveOne(remembered, await locate(remembered, alternative), options);
    } catch (error) {
      if (!isShortage(error) || request.orElse.length === 0) throw error;
      first ??= error;
    }
  }
  throw first ?? new Error('a request is its own first alternative');
}

/** The request with the devices that its paths lead to. */
async function locate(
  { effects }: SelectionHost,
  request: SelectorRequest,
): Promise<SelectorRequest> {
  return { ...request, expression: await locatePaths(effects, request.expression) };
}

async function resolveOne(
  host: SelectionHost,
  request: SelectorRequest,
  options: ResolveOptions,
): Promise<Resolution> {
  const startedAt = options.clock?.now() ?? 0;
  const { set, asked, notes, moved } = await prepare(host, request, options);
  const { chosen, companions, rejected, classes } = choose(moved ?? request, set, asked);
  checkExpectation(request, chosen, set);
  const resolution: Resolution = {
    selector: canonicalText(request),
    selectorHash: hashOf(request),
    snapshotHash: hashOf({ candidates: set.candidates, reservations: set.reservations }),
    policy: formatPolicy(request.policy),
    order: request.order.map(formatOrderKey),
    chosen,
    companions,
    classes,
    rejected,
    reservedUntil: earliestEnd([...chosen, ...companions], set, options.owner),
    placement: set.vmNodes && chosen.map((candidate) => placementOf(candidate, set)),
    notes,
    set,
  };
  const change = await compareWithLast(host, request, resolution, options);
  const told = change === undefined ? resolution : { ...resolution, notes: [...notes, change] };
  const durationMs = options.clock && options.clock.now() - startedAt;
  report(request, told, { ...options, durationMs });
  return told;
}

/** A device that is named means itself; what is only looked at is nobody's answer. */
async function compareWithLast(
  { answers }: SelectionHost,
  request: SelectorRequest,
  { selectorHash, chosen }: Resolution,
  { guarded = true, wallClock = Date.now }: ResolveOptions,
): Promise<string | undefined> {
  if (answers === undefined || !guarded || isExplicit(request.expression)) return undefined;
  const time = new Date(wallClock()).toISOString();
  const now = { selectorHash, time, devices: chosen.map(nameWithId) };
  return changeBetween(request.text, await exchangeAnswer(answers, now), now);
}

function earliestEnd(
  chosen: readonly Candidate[],
  set: CandidateSet,
  owner: string | undefined,
): number | undefined {
  const ends = chosen.flatMap((candidate) => {
    const claim = claimOn(candidate, set);
    return claim.known && claim.value?.owner === owner ? (claim.value?.until ?? []) : [];
  });
  return ends.length === 0 ? undefined : Math.min(...ends);
}

interface Prepared {
  readonly set: CandidateSet;
  readonly asked: ResolveRules;
  readonly notes: readonly string[];
  /** The request for where a pinned device is now, if it named the place where it was. */
  readonly moved: SelectorRequest | undefined;
}

/** The candidates with all that the request and the rules ask of them. */
async function prepare(
  host: SelectionHost,
  request: SelectorRequest,
  options: ResolveOptions,
): Promise<Prepared> {
  const { guarded = true, rules = [], scope, owner } = options;
  const explicit = isExplicit(request.expression);
  if (guarded) checkWidth(request, options.yesAll ?? false);
  const active = guarded ? await locateRules(host.effects, [...rules, ...DEFAULT_RULES]) : [];
  const fields = new Set([...fieldsOfRequest(request), ...fieldsOfRules(active)]);
  const onlyFree = guarded && (options.onlyFree ?? !explicit);
  const asked = { rules: compileRules(active), scope, owner, guarded, onlyFree };
  // A rule may be about more than what is named: the function that a VF, or a mediated device, is of.
  const isFunction = explicit && !fieldsOf(request.expression).includes('uuid');
  const isNarrow =
    isFunction && request.pin === undefined && options.readAll !== true && rules.length === 0;
  const read = await readCandidates(host, fields, isNarrow ? request.expression : undefined);
  const outcome = await meetPin(host, request, read);
  const set = among(among(read, options.among), outcome && new Set(outcome.names));
  const moved =
    explicit && outcome ? { ...request, expression: addressesOf(outcome.names) } : undefined;
  const prepared = { set, asked, notes: outcome?.notes ?? [], moved };
  if (!onlyFree) return prepared;
  const functions = findMatches(moved ?? request, set).flatMap((each) =>
    each.kind === 'pci' ? each.name : [],
  );
  return { ...prepared, set: await withUses(host, set, functions) };
}

async function meetPin(
  { effects }: SelectionHost,
  { pin, expect }: SelectorRequest,
  set: CandidateSet,
): Promise<PinOutcome | undefined> {
  if (pin === undefined) return undefined;
  const { file, follow } = pin;
  const text = await effects.read(file).catch((error: unknown) => {
    throw hostFailure(`the pin ${file}`, error, 'HOST_UNREADABLE');
  });
  return checkPin(parsePin(text, file), set, { follow, strictGroup: expect?.group === 'strict' });
}

function addressesOf(names: readonly string[]): Expression {
  const tests = names.map((text) => ({ negated: false, test: { kind: 'text', text } as const }));
  return {
    kind: 'values',
    field: names.some((name) => name.includes('.')) ? 'bdf' : 'uuid',
    tests,
  };
}

/** What a request comes to, and each candidate's part in it. */
export interface Explanation {
  /** In numeric order. A candidate that is chosen says so by its name in `chosen`. */
  readonly candidates: readonly Rejection[];
  readonly chosen: readonly Candidate[];
  /** Why nothing is chosen; undefined where something is. */
  readonly refusal: RefusedError | undefined;
}

/** As `resolveSelector`, but a refusal is a part of the answer. Alternatives are not tried. */
export async function explainSelector(
  host: SelectionHost,
  request: SelectorRequest,
  options: ResolveOptions = {},
): Promise<Explanation> {
  const remembered = { ...host, effects: rememberReads(host.effects) };
  const wide = { ...options, yesAll: true, guarded: options.guarded ?? true };
  const policy = matchesEverything(request.expression)
    ? ({ kind: 'all' } as const)
    : request.policy;
  const { set, asked } = await prepare(remembered, { ...request, policy }, wide);
  const candidates = explainAll(request, set, asked);
  try {
    const { chosen } = choose({ ...request, policy }, set, asked);
    return { candidates, chosen, refusal: undefined };
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return { candidates, chosen: [], refusal: error };
  }
}

function among(set: CandidateSet, names: ReadonlySet<string> | undefined): CandidateSet {
  if (names === undefined) return set;
  return { ...set, candidates: set.candidates.filter(({ name }) => names.has(name)) };
}

/** A pattern for everything is a slip more often than a wish. */
function checkWidth(request: SelectorRequest, yesAll: boolean): void {
  if (!matchesEverything(request.expression)) return;
  if (yesAll && request.policy.kind === 'all') return;
  throw new RefusedError('DENIED', `${request.text} matches every device of the host`, {
    remedy: 'say what you look for; or, if it is everything: --policy all --yes-all',
    details: { selector: request.text, rule: 'yes-all' },
  });
}

export function fieldsOfRequest(request: SelectorRequest): readonly string[] {
  const { expression, policy, order, same, distinct, spread, pack } = request;
  return [
    ...fieldsOf(expression),
    ...(request.pin === undefined ? [] : PIN_FIELDS),
    ...(request.expect?.serial === undefined ? [] : ['serial']),
    ...(policy.kind === 'group-by' ? [policy.field] : []),
    ...order.map(({ field }) => field),
    ...same,
    ...distinct,
    ...[spread, pack].filter((field) => field !== undefined),
  ];
}

/** SHA-256 over the value with its keys sorted, so that no order of reading shows in it. */
export function hashOf(value: unknown): string {
  return createHash('sha256')
    .update(stringifyJson(plain(value)))
    .digest('hex');
}

function plain(value: unknown): JsonValue {
  if (value instanceof Map) return plain([...(value as Map<unknown, unknown>)]);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(members.map(([key, member]) => [key, plain(member)]));
  }
  // What is left of plain data are JSON's scalars.
  return (value ?? null) as JsonValue;
}
