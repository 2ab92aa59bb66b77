import { createHash } from 'node:crypto';
import { RefusedError } from '../../errors.js';
import { stringifyJson, type JsonValue } from '../../json.js';
import { silentLogger, type Logger } from '../../logger.js';
import { rememberReads } from '../inventory/remember.js';
import type { Candidate, CandidateSet } from './candidate.js';
import { compileRules, DEFAULT_RULES, fieldsOfRules, type Rule } from './deny.js';
import { fieldsOf } from './match.js';
import { formatOrderKey } from './order.js';
import { isExplicit, matchesEverything } from './parse-selector.js';
import { formatPolicy } from './policy.js';
import { readCandidates, withUses, type SelectionHost } from './read-candidates.js';
import type { Rejection } from './refusals.js';
import type { SelectorRequest } from './request.js';
import { canonicalText, choose, findMatches, isShortage, type ResolveRules } from './resolve.js';

export interface ResolveOptions {
  /** Rules before the default ones; the first that matches decides. */
  readonly rules?: readonly Rule[] | undefined;
  /** False asks no rules: for looking, and for what is in the VM already. Default true. */
  readonly guarded?: boolean | undefined;
  /** Whether devices in use or reserved are passed over; default true where the device is described. */
  readonly onlyFree?: boolean | undefined;
  /** Whose reservations are no conflict: the VM's key, or the owner of `host reserve`. */
  readonly scope?: string | undefined;
  /** Candidates that may be chosen, by address or UUID; default all. */
  readonly among?: ReadonlySet<string> | undefined;
  /** Permits a selector that every device matches. */
  readonly yesAll?: boolean | undefined;
  readonly logger?: Logger | undefined;
}

/** What a selector means on this host, now. */
export interface Resolution {
  /** The canonical short form. */
  readonly selector: string;
  /** SHA-256 of the request, and of what was known of the host. */
  readonly selectorHash: string;
  readonly snapshotHash: string;
  readonly policy: string;
  readonly order: readonly string[];
  readonly chosen: readonly Candidate[];
  readonly companions: readonly Candidate[];
  readonly classes: ReadonlyMap<string, readonly Candidate[]>;
  readonly rejected: readonly Rejection[];
  /** Everything the choice was made of. */
  readonly set: CandidateSet;
}

/**
 * Finds the devices a selector means. Reads only; the same host and selector give the same answer.
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
      return await resolveOne(remembered, alternative, options);
    } catch (error) {
      if (!isShortage(error) || request.orElse.length === 0) throw error;
      first ??= error;
    }
  }
  throw first ?? new Error('a request is its own first alternative');
}

async function resolveOne(
  host: SelectionHost,
  request: SelectorRequest,
  options: ResolveOptions,
): Promise<Resolution> {
  const { guarded = true, rules = [], scope, logger = silentLogger } = options;
  const explicit = isExplicit(request.expression);
  if (guarded) checkWidth(request, options.yesAll ?? false);
  const active = guarded ? [...rules, ...DEFAULT_RULES] : [];
  const fields = new Set([...fieldsOfRequest(request), ...fieldsOfRules(active)]);
  const onlyFree = options.onlyFree ?? !explicit;
  let set = among(
    await readCandidates(host, fields, explicit ? request.expression : undefined),
    options.among,
  );
  if (guarded && onlyFree) {
    const functions = findMatches(request, set).flatMap((each) =>
      each.kind === 'pci' ? each.name : [],
    );
    set = await withUses(host, set, functions);
  }
  const asked: ResolveRules = { rules: compileRules(active), scope, onlyFree: guarded && onlyFree };
  const { chosen, companions, rejected, classes } = choose(request, set, asked);
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
    set,
  };
  report(logger, request, resolution);
  return resolution;
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

function report(logger: Logger, request: SelectorRequest, resolution: Resolution): void {
  const { selector, snapshotHash, selectorHash, policy, chosen, rejected } = resolution;
  const devices = chosen.map(identify);
  logger.info(
    { selector: request.text, canonical: selector, policy, snapshotHash, devices },
    `selector ${request.text}: ${devices.map(({ name }) => name).join(', ')}`,
  );
  logger.debug({ selector, selectorHash, snapshotHash, policy, devices, rejected }, 'resolution');
}

function identify(candidate: Candidate) {
  if (candidate.kind === 'mdev') return { name: candidate.name, kind: 'mdev' };
  const { vendorId, deviceId, serials, numaNode, iommuGroup, driver } = candidate.record;
  return {
    name: candidate.name,
    kind: 'pci',
    vendorId: vendorId.known ? vendorId.value : null,
    deviceId: deviceId.known ? deviceId.value : null,
    serial: serials.known ? (serials.value.found[0]?.value ?? null) : null,
    numa: numaNode.known ? numaNode.value : null,
    group: iommuGroup.known ? (iommuGroup.value ?? null) : null,
    driver: driver.known ? (driver.value ?? null) : null,
  };
}
