import { toBdf, type Bdf } from '../pci/pci-address.js';
import type { HostEffects } from './effects.js';
import { bindingFiles } from './binding.js';
import { chooseDriver, readDriverWish, type DriverWish } from './driver-wish.js';
import { readDriver, readFunction, readOverride } from './pci-function.js';
import { findDriver } from './variant.js';
import { isSameDriver, normaliseDriver } from './vfio-drivers.js';

/** What `bindToVfio` would do to a function now. */
export interface PlannedBinding {
  readonly driver: string;
  /** The module that has to be loaded first; undefined where the driver is there. */
  readonly module: string | undefined;
  /** In order; none where it is bound so already. */
  readonly writes: readonly { readonly path: string; readonly value: string }[];
}

/**
 * Looks, and changes nothing; `bindToVfio` looks again.
 *
 * @param wish default `auto`.
 * @throws {InputError} `BAD_BDF`, `BAD_ARGUMENT`.
 * @throws {HostNotReadyError} `WRONG_DRIVER` where the driver that was asked for cannot be.
 */
export async function planBinding(
  effects: HostEffects,
  address: Bdf,
  wish?: DriverWish,
): Promise<PlannedBinding> {
  const bdf = toBdf(address);
  const device = await readFunction(effects, bdf);
  const named = await chooseDriver(effects, bdf, device, readDriverWish(wish));
  const module = normaliseDriver(named);
  const found = await findDriver(effects, named, module);
  const driver = found ?? named;
  const present = await readDriver(effects, bdf);
  const missing = found === undefined ? module : undefined;
  if (present !== undefined && isSameDriver(present, driver)) {
    return { driver, module: missing, writes: [] };
  }
  const override = await readOverride(effects, bdf);
  const isSet = override.known && override.value === driver;
  return {
    driver,
    module: missing,
    writes: [
      ...(isSet ? [] : [{ path: bindingFiles.override(bdf), value: driver }]),
      ...(present === undefined ? [] : [{ path: bindingFiles.unbind(bdf), value: bdf }]),
      { path: bindingFiles.bind(driver), value: bdf },
    ],
  };
}
