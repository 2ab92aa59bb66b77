import { InputError } from '../errors.js';
import { compileGlob } from '../host/selector/glob.js';
import { BadValue } from '../host/selector/syntax-error.js';
import { CHECKS } from './registry.js';

export interface CheckFilter {
  /** Globs over ids; default all. */
  readonly only?: readonly string[] | undefined;
  readonly skip?: readonly string[] | undefined;
}

/**
 * Which checks are asked for. A glob that matches the beginning of an id up to a dot takes what is below it:
 * `dev`, `dev.in_use` and `dev.*`.
 *
 * @throws {InputError} `BAD_ARGUMENT` for a glob that cannot be read, or that no check matches.
 */
export function compileFilter({ only, skip = [] }: CheckFilter): (id: string) => boolean {
  const wanted = only?.map((glob) => compile(glob));
  const unwanted = skip.map((glob) => compile(glob));
  return (id) =>
    (wanted === undefined || wanted.some((matches) => matches(id))) &&
    !unwanted.some((matches) => matches(id));
}

function compile(glob: string): (id: string) => boolean {
  const remedy = 'name a check or several: iommu.active, "dev.*"; all of them: docs/doctor.md';
  let matchesText: (text: string) => boolean;
  try {
    matchesText = compileGlob(glob);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    const message = `Not a pattern of checks: ${JSON.stringify(glob)}: ${error.message}`;
    throw new InputError('BAD_ARGUMENT', message, { remedy });
  }
  const matches = (id: string) => beginnings(id).some(matchesText);
  if (CHECKS.some(({ id }) => matches(id))) return matches;
  throw new InputError('BAD_ARGUMENT', `No check matches ${JSON.stringify(glob)}`, { remedy });
}

/** `a.b.c`: `a`, `a.b`, `a.b.c`. */
function beginnings(id: string): readonly string[] {
  const parts = id.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}
