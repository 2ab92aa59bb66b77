import { RefusedError } from '../errors.js';
import type { HostSnapshot } from '../host/types.js';
import { isVfioDriver } from '../host/vfio-drivers.js';
import type { Bdf } from '../pci/pci-address.js';
import { hostFunction } from './checks.js';
import type { VfioRequest } from './request.js';
import type { ChosenRoute } from './route.js';

/**
 * The functions that the kernel opens with a token alone: VFs whose PF is with VFIO itself. The token is a UUID
 * that whoever opened the PF has set, and a function that needs none must get none.
 * Source: vfio_pci_validate_vf_token (drivers/vfio/pci/vfio_pci_core.c, Linux 6.12).
 *
 * @param qemuLacks why this QEMU cannot hand a token on; undefined where it can, or none is given.
 * @throws {RefusedError} `VF_TOKEN`
 */
export function functionsWithToken(
  { targets, hasVfToken = false, route = 'auto' }: VfioRequest,
  host: HostSnapshot,
  qemuLacks: string | undefined,
): ReadonlySet<Bdf> {
  const owners = targets.flatMap((bdf) => {
    const { physfn } = hostFunction(host, bdf);
    const driver = physfn && host.devices.get(physfn)?.driver;
    return driver !== undefined && isVfioDriver(driver) ? [{ bdf, physfn, driver }] : [];
  });
  const [first] = owners;
  if (first === undefined) {
    if (hasVfToken) throw notAsked(targets);
    return new Set();
  }
  const { bdf, physfn, driver } = first;
  const details = { device: bdf, physfn, driver };
  const what = `${bdf} is a virtual function of ${physfn}, which is on ${driver}`;
  if (!hasVfToken) {
    throw new RefusedError('VF_TOKEN', `${what}: the kernel opens it with its token alone`, {
      remedy: `ask whoever has ${physfn} for it: --vf-token UUID; or give ${physfn} back to its own driver`,
      details,
    });
  }
  if (qemuLacks !== undefined) {
    throw new RefusedError('VF_TOKEN', `${what}, and ${qemuLacks}`, {
      remedy: `run the VM with QEMU 8.1 or later; or give ${physfn} back to its own driver`,
      details,
    });
  }
  if (route === 'iommufd' || route === 'descriptors') {
    throw new RefusedError('VF_TOKEN', `${what}: a token goes through the IOMMU group alone`, {
      remedy: 'use the group: --no-iommufd',
      details,
    });
  }
  return new Set(owners.map((owner) => owner.bdf));
}

/** The route of functions of which one needs a token: QEMU hands it on with the group's node (8.1 to 10.2). */
export const ROUTE_WITH_TOKEN: ChosenRoute = {
  kind: 'group',
  why: 'a VF token goes through the group alone',
  object: undefined,
};

function notAsked(targets: readonly Bdf[]): RefusedError {
  return new RefusedError(
    'VF_TOKEN',
    `${targets.join(', ')}: no virtual function of one that is with VFIO, so the kernel would refuse a token`,
    { remedy: 'leave --vf-token out', details: { devices: targets } },
  );
}
