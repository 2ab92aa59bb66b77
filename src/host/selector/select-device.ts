import { InputError, RefusedError } from '../../errors.js';
import type { Bdf } from '../../pci/pci-address.js';
import { parseSelector } from './parse-selector.js';
import type { SelectionHost } from './read-candidates.js';
import { resolveSelector, type ResolveOptions } from './resolve-selector.js';

export interface SelectOptions extends ResolveOptions {
  /** Findings and rules that may be passed over, besides those the selector itself names. */
  readonly allow?: readonly string[] | undefined;
}

/**
 * The one PCI function a selector means.
 *
 * @throws {InputError} `SYNTAX`; `BAD_ARGUMENT` for a selector that asks for several.
 * @throws {RefusedError} as `resolveSelector`.
 */
export async function selectDevice(
  host: SelectionHost,
  text: string,
  options: SelectOptions = {},
): Promise<Bdf> {
  const parsed = parseSelector(text);
  const request = { ...parsed, allow: [...parsed.allow, ...(options.allow ?? [])] };
  const { chosen, companions } = await resolveSelector(host, request, options);
  const [only, ...others] = chosen;
  if (only === undefined || others.length + companions.length > 0) {
    const names = [...chosen, ...companions].map(({ name }) => name);
    throw new InputError('BAD_ARGUMENT', `${text} asks for several devices: ${names.join(', ')}`, {
      remedy: 'name one; what goes along with it is chosen by --members',
      details: { selector: text, matches: names },
    });
  }
  if (only.kind === 'mdev') {
    throw new RefusedError(
      'DENIED',
      `${only.name} is a mediated device; this takes PCI functions`,
      {
        remedy:
          'give it to the VM when that is started: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID',
        details: { selector: text, rule: 'mdev' },
      },
    );
  }
  return only.name;
}
