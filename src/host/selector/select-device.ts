import { InputError, RefusedError } from '../../errors.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { Candidate } from './candidate.js';
import { parseSelector } from './parse-selector.js';
import type { SelectionHost } from './read-candidates.js';
import { resolveSelector, type ResolveOptions } from './resolve-selector.js';

export interface SelectOptions extends ResolveOptions {
  /** Findings and rules that may be passed over, besides those the selector itself names. */
  readonly allow?: readonly string[] | undefined;
}

/**
 * The one device a selector means: a PCI function or a mediated device.
 *
 * @throws {InputError} `SYNTAX`; `BAD_ARGUMENT` for a selector that asks for several.
 * @throws {RefusedError} as `resolveSelector`.
 */
export async function selectCandidate(
  host: SelectionHost,
  text: string,
  options: SelectOptions = {},
): Promise<Candidate> {
  const parsed = parseSelector(text);
  const request = { ...parsed, allow: [...parsed.allow, ...(options.allow ?? [])] };
  const { chosen, companions } = await resolveSelector(host, request, options);
  const [only, ...others] = chosen;
  if (only !== undefined && others.length + companions.length === 0) return only;
  const names = [...chosen, ...companions].map(({ name }) => name);
  throw new InputError('BAD_ARGUMENT', `${text} asks for several devices: ${names.join(', ')}`, {
    remedy: 'name one; what goes along with it is chosen by --members',
    details: { selector: text, matches: names },
  });
}

/**
 * The one PCI function a selector means.
 *
 * @throws {InputError} `SYNTAX`; `BAD_ARGUMENT` for a selector that asks for several.
 * @throws {RefusedError} as `resolveSelector`; `DENIED` for a mediated device.
 */
export async function selectDevice(
  host: SelectionHost,
  text: string,
  options: SelectOptions = {},
): Promise<Bdf> {
  const only = await selectCandidate(host, text, options);
  if (only.kind === 'pci') return only.name;
  throw new RefusedError('DENIED', `${only.name} is a mediated device; this takes PCI functions`, {
    remedy: 'name the PCI function; what takes mediated devices is attach and detach',
    details: { selector: text, rule: 'mdev' },
  });
}
