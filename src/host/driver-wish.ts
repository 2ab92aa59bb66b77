import { HostNotReadyError, InputError } from '../errors.js';
import type { Bdf } from '../pci/pci-address.js';
import type { HostEffects } from './effects.js';
import { devicePath } from './pci-function.js';
import { exists } from './reading.js';
import type { HostDevice } from './types.js';
import { chooseVfioDriver } from './variant.js';
import { isSameDriver, isVfioDriver } from './vfio-drivers.js';
import { isVgpu } from './vgpu.js';

/**
 * Which driver a function goes to a VM with. `auto`: the variant driver that modules.alias names for it, else the
 * plain one. `vfio-pci`: the plain one, whatever variant there is. `keep`: the driver that it has, which must be one
 * of VFIO; nothing is bound, and nothing is restored.
 */
export const DRIVER_WISHES = ['auto', 'vfio-pci', 'keep'] as const;
export type DriverWish = (typeof DRIVER_WISHES)[number];

/** What a choice of the driver is made of. */
export type DriverFacts = Pick<HostDevice, 'driver' | 'modalias'>;

/** What was asked for, out of untyped input. @throws {InputError} `BAD_ARGUMENT` */
export function readDriverWish(wish: DriverWish | undefined = 'auto'): DriverWish {
  if (DRIVER_WISHES.includes(wish)) return wish;
  throw new InputError('BAD_ARGUMENT', `No choice of a driver: ${JSON.stringify(wish)}`, {
    remedy: `one of ${DRIVER_WISHES.join(', ')}`,
  });
}

/**
 * The driver that a function goes to a VM with: its directory where it is loaded; else the name it will have once it
 * is. A vGPU keeps its driver, which serves VFIO itself.
 *
 * @param device undefined for a function that could not be read.
 * @throws {HostNotReadyError} `WRONG_DRIVER` where what was asked for by name cannot be.
 */
export async function chooseDriver(
  effects: HostEffects,
  bdf: Bdf,
  device: DriverFacts | undefined,
  wish: DriverWish,
): Promise<string> {
  const { driver, modalias } = device ?? {};
  const keeps = driver !== undefined && (await isVgpu(effects, bdf));
  if (keeps && wish === 'vfio-pci') throw isAVgpu(bdf, driver);
  if (keeps) return driver;
  switch (wish) {
    case 'auto':
      return chooseVfioDriver(effects, modalias);
    case 'vfio-pci':
      return 'vfio-pci';
    case 'keep':
      if (driver !== undefined && (await servesVfio(effects, bdf, driver))) return driver;
      throw nothingToKeep(bdf, driver);
  }
}

/**
 * What somebody bound by name is not what was asked for now. With `auto` whatever is there is good.
 *
 * @throws {HostNotReadyError} `WRONG_DRIVER`
 */
export function refuseOtherDriver(bdf: Bdf, bound: string, wish: DriverWish | undefined): void {
  if (wish !== 'vfio-pci' || isSameDriver(bound, wish)) return;
  throw wrongDriver(`${bdf} is bound to ${bound} already, not to the plain vfio-pci`, {
    bdf,
    driver: bound,
    remedy: `give it back first: qmplug host release ${bdf}; or take it as it is: --driver keep`,
  });
}

/**
 * A driver that the kernel shows a VFIO device of is one of VFIO, whether it was known when this was written or not
 * (vfio_init_device, drivers/vfio/vfio_main.c, 6.1 and later).
 */
async function servesVfio(effects: HostEffects, bdf: Bdf, driver: string): Promise<boolean> {
  return isVfioDriver(driver) || exists(effects, `${devicePath(bdf)}/vfio-dev`);
}

function nothingToKeep(bdf: Bdf, driver: string | undefined): HostNotReadyError {
  const state = driver === undefined ? 'has no driver' : `is on ${driver}, no driver of VFIO`;
  return wrongDriver(`${bdf} ${state}: there is nothing to keep`, {
    bdf,
    driver,
    remedy: `leave the choice to qmplug: --driver auto; or bind it yourself first: driverctl set-override ${bdf} vfio-pci`,
  });
}

function isAVgpu(bdf: Bdf, driver: string): HostNotReadyError {
  return wrongDriver(`${bdf} is a vGPU, which no driver but ${driver} can hand to a VM`, {
    bdf,
    driver,
    remedy: '--driver keep, or leave the choice to qmplug: --driver auto',
  });
}

function wrongDriver(
  message: string,
  { bdf, driver, remedy }: { bdf: Bdf; driver: string | undefined; remedy: string },
): HostNotReadyError {
  return new HostNotReadyError('WRONG_DRIVER', message, {
    remedy,
    details: { device: bdf, driver: driver ?? null },
  });
}
