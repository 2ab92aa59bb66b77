import { RefusedError, type ErrorCode } from '../../errors.js';
import { compareBdf, parseBdf, slotOf, toBdf, type Bdf } from '../../pci/pci-address.js';
import { functionOf, type Candidate, type CandidateSet } from './candidate.js';
import { valueOf } from './choose.js';
import type { TermFailure } from './match.js';

/** Why a candidate was not chosen. */
export type RejectionReason =
  /** A term does not hold, or cannot be told. */
  | 'no-match'
  | 'unknown'
  /** A rule keeps it from being chosen. */
  | 'denied'
  | 'in-use'
  | 'reserved'
  | 'numa'
  | 'constraint'
  /** It matches, and the policy wants fewer. */
  | 'not-needed';

export interface Rejection {
  /** BDF, or the UUID of a mediated device. */
  readonly bdf: string;
  readonly reason: RejectionReason;
  /** The rule, the finding, the reservation or the term that kept it out. */
  readonly rule: string;
  /** What was seen. */
  readonly evidence: string;
  /** Set where `--allow` is of no use: a policy file denies it. */
  readonly final?: true;
  /** Terms that hold. */
  readonly matched: readonly string[];
  /** Terms that do not, or cannot be told. */
  readonly failed: readonly TermFailure[];
}

const SHOWN = 5;

/** Nothing matches. Those that fail by one term alone are told. */
export function noMatch(text: string, rejected: readonly Rejection[]): RefusedError {
  const addresses = nearAddresses(
    text,
    rejected.map(({ bdf }) => bdf),
  );
  const byOneTerm = rejected.filter(
    ({ failed, matched }) => failed.length === 1 && matched.length > 0,
  );
  const near = addresses.length > 0 ? addresses : byOneTerm.map(({ bdf }) => bdf).slice(0, SHOWN);
  const hint = addresses.length > 0 ? `; there is ${addresses.join(', ')}` : nearTerms(byOneTerm);
  return new RefusedError('NO_MATCH', `The host has no device ${text}${hint}`, {
    remedy: `list what it has: qmplug devices; why not: qmplug devices ${JSON.stringify(text)} --explain`,
    details: { selector: text, nearMisses: near },
  });
}

function nearTerms(byOneTerm: readonly Rejection[]): string {
  if (byOneTerm.length === 0) return '';
  const shown = byOneTerm
    .slice(0, SHOWN)
    .map(({ bdf, failed: [failure] }) =>
      failure === undefined ? bdf : `${bdf} but for ${failure.term} (${failure.actual})`,
    );
  const more = byOneTerm.length > SHOWN ? ` and ${byOneTerm.length - SHOWN} more` : '';
  return `; near: ${shown.join(', ')}${more}`;
}

/** Every device that matched was kept out. The first of them gives the code. */
export function allKeptOut(text: string, kept: readonly Rejection[]): RefusedError {
  const [first] = kept;
  const codes: Partial<Record<RejectionReason, ErrorCode>> = {
    denied: 'DENIED',
    'in-use': 'IN_USE',
    reserved: 'CONFLICT',
  };
  const code = (first && codes[first.reason]) ?? 'NO_MATCH';
  const shown = kept
    .slice(0, SHOWN)
    .map(({ bdf, reason, rule, evidence }) => `${bdf} is ${reason} (${rule}: ${evidence})`);
  const more = kept.length > SHOWN ? `, and ${kept.length - SHOWN} more` : '';
  return new RefusedError(code, `${text}: ${shown.join('; ')}${more}`, {
    remedy: remedyOf(first, code),
    details: {
      selector: text,
      rejected: kept.map(({ bdf, reason, rule, evidence }) => ({ bdf, reason, rule, evidence })),
    },
  });
}

function remedyOf(first: Rejection | undefined, code: ErrorCode): string {
  if (first?.final === true) return 'ask whoever keeps the policy file; --allow is of no use here';
  if (code === 'CONFLICT')
    return 'detach it there, or end the reservation: qmplug host unreserve --for OWNER';
  return `end that, or, knowing what that does: --allow ${first?.rule}`;
}

/** More match than may; what would tell them apart is told. */
export function ambiguous(
  text: string,
  matches: readonly Candidate[],
  set: CandidateSet,
  wanted: number,
): RefusedError {
  const separatedBy = separatingFields(matches, set);
  const names = matches.map(({ name }) => name);
  const shown = names.slice(0, SHOWN).join(wanted === 1 ? ' or ' : ', ');
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  const [best] = separatedBy;
  const by =
    best === undefined ? '' : ` (apart by ${separatedBy.map(({ field }) => field).join(', ')})`;
  const first = best?.values[0];
  return new RefusedError('AMBIGUOUS', `${text} is ${shown}${more}${by}`, {
    remedy:
      best === undefined || first === undefined
        ? `name one of them: ${names[0]}`
        : `add a term, for example ${best.field}:${first}, or write the address: ${names[0]}`,
    details: { selector: text, matches: names, separatedBy },
  });
}

export function tooFew(
  text: string,
  found: readonly Candidate[],
  wanted: number,
  because = '',
): RefusedError {
  const names = found.map(({ name }) => name);
  const has = names.length === 0 ? 'none' : `${names.length}: ${names.slice(0, SHOWN).join(', ')}`;
  return new RefusedError('TOO_FEW', `${text}: ${wanted} wanted${because}, there is ${has}`, {
    remedy: `see what keeps the others out: qmplug devices ${JSON.stringify(text)} --explain`,
    details: { selector: text, wanted, matches: names },
  });
}

const TELLING = [
  'domain',
  'numa',
  'slot',
  'serial',
  'id',
  'driver',
  'root',
  'group',
  'name',
  'path',
];

/** Fields whose value is known of each and different for each. */
function separatingFields(
  matches: readonly Candidate[],
  set: CandidateSet,
): readonly { readonly field: string; readonly values: readonly string[] }[] {
  return TELLING.flatMap((field) => {
    const values = matches.map((candidate) => valueOf(field, candidate, set));
    const known = values.filter((value) => value !== undefined);
    const isTelling = known.length === matches.length && new Set(known).size === matches.length;
    return isTelling ? [{ field, values: known }] : [];
  });
}

/** Other functions of the slot first, then the same place in other domains, then one digit off. */
function nearAddresses(text: string, names: readonly string[]): readonly string[] {
  const wanted = addressIn(text);
  if (wanted === undefined) return [];
  const rank = (bdf: Bdf) => {
    if (slotOf(bdf) === slotOf(wanted)) return 1;
    if (afterDomain(bdf) === afterDomain(wanted)) return 2;
    return differingDigits(bdf, wanted) === 1 ? 3 : undefined;
  };
  return names
    .flatMap((name) => {
      const bdf = addressIn(name);
      const distance = bdf === undefined ? undefined : rank(bdf);
      return bdf === undefined || distance === undefined ? [] : [{ bdf, distance }];
    })
    .sort((a, b) => a.distance - b.distance || compareBdf(a.bdf, b.bdf))
    .slice(0, SHOWN)
    .map(({ bdf }) => bdf);
}

function addressIn(text: string): Bdf | undefined {
  const plain = text.replace(/^bdf:(?:\*:)?/, '').replace(/^.*\/([^/]+)\/?$/, '$1');
  const libvirt = plain.replace(/^pci_(\w+)_(\w\w)_(\w\w)_(\w)$/i, '$1:$2:$3.$4');
  try {
    parseBdf(libvirt);
    return toBdf(libvirt);
  } catch {
    return undefined;
  }
}

const afterDomain = (bdf: Bdf) => bdf.slice(bdf.indexOf(':'));

function differingDigits(a: string, b: string): number {
  if (a.length !== b.length) return Infinity;
  return [...a].filter((digit, index) => digit !== b[index]).length;
}

/** BDF for what has one. */
export function addressOf(candidate: Candidate): Bdf | undefined {
  return candidate.kind === 'pci' ? candidate.name : functionOf(candidate)?.bdf;
}
