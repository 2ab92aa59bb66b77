import type { DriverWish } from '../host/driver-wish.js';
import type { HostSnapshot } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import { groupOf } from './checks.js';
import type { BindDriver } from './steps.js';

/** Functions that are to be with a driver of VFIO. */
export interface Bindings {
  readonly targets: readonly Bdf[];
  readonly drivers: ReadonlyMap<Bdf, string>;
  readonly wish?: DriverWish | undefined;
}

/** The steps that bind functions; what keeps its driver needs none, and so nothing of it is ever taken back. */
export function bindSteps(
  { targets, drivers, wish }: Bindings,
  host: HostSnapshot,
): readonly BindDriver[] {
  if (wish === 'keep') return [];
  return targets.map((bdf) => ({
    kind: 'BindDriver',
    bdf,
    group: groupOf(host, bdf),
    driver: drivers.get(bdf) ?? 'vfio-pci',
  }));
}
