import { InputError, RefusedError } from '../errors.js';
import type { HostEffects } from '../host/effects.js';
import { exists } from '../host/reading.js';
import {
  isAddress,
  isExplicit,
  parseSelector,
  selectCandidate,
  type SelectorRequest,
} from '../host/selector/index.js';
import { toBdf } from '../pci/pci-address.js';
import { isDeviceId } from '../qmp/argument-kinds.js';

/** The names of what is in a VM, or on record as being there. */
export interface NamesInVm {
  readonly ids: ReadonlySet<string>;
  /** Host addresses, and UUIDs of mediated devices. */
  readonly hosts: ReadonlySet<string>;
}

/**
 * What a detach names: the id as it is, or the canonical address of a host function. The host need not have a
 * function that is named by its address any more: taking out what is gone is a success. A description is
 * looked for among the devices that are in the VM.
 *
 * @param inVm what the VM has; asked only where that matters.
 * @throws {InputError} `BAD_ID` for what is neither; `SYNTAX`.
 * @throws {RefusedError} `AMBIGUOUS`; `NO_MATCH` for a description.
 */
export async function resolveTarget(
  what: string,
  effects: HostEffects,
  inVm: () => Promise<NamesInVm>,
): Promise<string> {
  const isId = isDeviceId(what) && !isAddress(what);
  if (isId && !(await isCdev(effects, what))) return what;
  if (isId && (await inVm()).ids.has(what)) return what;
  const { expression } = readTarget(what);
  const explicit = isExplicit(expression);
  const among = explicit ? undefined : (await inVm()).hosts;
  try {
    return (await selectCandidate({ effects }, what, { guarded: false, among })).name;
  } catch (error) {
    const isGone = error instanceof RefusedError && error.code === 'NO_MATCH';
    const name = nameIn(expression);
    if (!isGone || name === undefined) throw error;
    return name;
  }
}

/** The address or UUID that stands in the selector itself. */
function nameIn(expression: SelectorRequest['expression']): string | undefined {
  if (!isExplicit(expression) || expression.kind !== 'values') return undefined;
  const test = expression.tests[0]?.test;
  if (expression.field === 'file' || test === undefined) return undefined;
  if (test.kind === 'text') return test.text;
  // An address without its domain: of domain 0, where the host has it in none.
  return test.kind === 'glob' ? toBdf(test.pattern.replace(/^\*:/, '')) : undefined;
}

/** An id may look like the name of a cdev; it is one only where the host has it. */
async function isCdev(effects: HostEffects, what: string): Promise<boolean> {
  return /^vfio\d+$/.test(what) && exists(effects, `/dev/vfio/devices/${what}`);
}

/** What looks like neither an id nor a selector is more likely a mistyped id. */
function readTarget(what: string): SelectorRequest {
  try {
    return parseSelector(what);
  } catch (cause) {
    if (/[:\s{]/.test(what)) throw cause;
    throw new InputError('BAD_ID', `Neither an id nor a device: ${JSON.stringify(what)}`, {
      cause,
      remedy: 'name it by its id or its host address; qmplug status VM lists both',
    });
  }
}
