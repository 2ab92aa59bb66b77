import { HostError, HostNotReadyError } from '../errors.js';
import type { HostEffects } from './effects.js';
import { exists, hostFailure, ifPresent, isStuck, listOrNone } from './reading.js';
import { isSameDriver, normaliseDriver } from './vfio-drivers.js';

const PREFIX = 'vfio_pci:';
const PLAIN = 'vfio_pci';
const DRIVERS = '/sys/bus/pci/drivers';

/**
 * The VFIO driver made for a device: of the `alias vfio_pci:...` lines that match, the one with the
 * fewest wildcards, as libvirt chooses. The plain driver's own line is all wildcards, so it
 * is what remains; it is also the answer where the kernel lists nothing.
 *
 * @param aliases text of modules.alias.
 * @param modalias the device's `modalias`: `pci:v...d...`.
 * @returns a module name, which is spelled with `_`.
 */
export function pickVfioModule(aliases: string, modalias: string | undefined): string {
  if (modalias === undefined) return PLAIN;
  const identity = PREFIX + modalias.replace(/^pci:/, '');
  let best = { module: PLAIN, wildcards: Infinity };
  for (const line of aliases.split('\n')) {
    const [keyword, pattern, module] = line.split(' ');
    if (keyword !== 'alias' || !pattern?.startsWith(PREFIX) || module === undefined) continue;
    const wildcards = pattern.split('*').length - 1;
    if (wildcards < best.wildcards && matchesAlias(pattern, identity)) best = { module, wildcards };
  }
  return best.module;
}

function matchesAlias(pattern: string, text: string): boolean {
  const source = pattern
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${source}$`).test(text);
}

/** The VFIO module for a device on the running kernel. */
export async function chooseVfioModule(
  effects: HostEffects,
  modalias: string | undefined,
): Promise<string> {
  const release = (await effects.read('/proc/sys/kernel/osrelease')).trim();
  const aliases = await ifPresent(effects.read(`/lib/modules/${release}/modules.alias`));
  return pickVfioModule(aliases ?? '', modalias);
}

/** The VFIO driver for a device on the running kernel, by the name that it has or will have once it is loaded. */
export async function chooseVfioDriver(
  effects: HostEffects,
  modalias: string | undefined,
): Promise<string> {
  const module = await chooseVfioModule(effects, modalias);
  return module === PLAIN ? 'vfio-pci' : module;
}

/**
 * Makes sure that a PCI driver is there, loading its module where it is not, and gives the spelling
 * of its directory: modules use `_`, directories may use `-`.
 *
 * @throws {HostNotReadyError} `DRIVER_MISSING` when there is no such driver afterwards.
 */
export async function ensureDriver(
  effects: HostEffects,
  driver: string,
  module: string = normaliseDriver(driver),
): Promise<string> {
  const present = await findDriver(effects, driver, module);
  if (present !== undefined) return present;
  const missing = (cause?: unknown) =>
    new HostNotReadyError('DRIVER_MISSING', `The kernel has no PCI driver ${driver}`, {
      cause,
      remedy: `modprobe ${module}`,
      details: { driver, module },
    });
  try {
    await effects.loadModule(module);
  } catch (error) {
    throw isStuck(error) ? hostFailure(`module ${module}`, error) : missing(error);
  }
  const loaded = await findDriver(effects, driver, module);
  if (loaded === undefined) throw missing();
  return loaded;
}

/** The driver's directory by either spelling, or the one that its module has; undefined where there is none yet. */
export async function findDriver(
  effects: HostEffects,
  driver: string,
  module: string,
): Promise<string | undefined> {
  // A name reaches a path only if it is a plain one.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(driver)) {
    throw new HostError('BAD_ARGUMENT', `Not a driver name: ${JSON.stringify(driver)}`);
  }
  if (await exists(effects, `${DRIVERS}/${driver}`)) return driver;
  const drivers = await listOrNone(effects, DRIVERS);
  const respelled = drivers.find((name) => isSameDriver(name, driver));
  if (respelled !== undefined) return respelled;
  const ofModule = await listOrNone(effects, `/sys/module/${normaliseDriver(module)}/drivers`);
  const names = ofModule
    .filter((name) => name.startsWith('pci:'))
    .map((name) => name.slice('pci:'.length));
  return (
    names.find((name) => isSameDriver(name, driver)) ?? (names.length === 1 ? names[0] : undefined)
  );
}
