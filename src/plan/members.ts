import { RefusedError } from '../errors.js';
import type { HostDevice, HostSnapshot } from '../host/types.js';
import { compareBdf, slotOf, type Bdf } from '../pci/pci-address.js';

/** How much goes with the named device. */
export type Members = 'device' | 'slot' | 'group';

/**
 * The functions a request names: the device alone, the functions of its slot, or every function of its
 * IOMMU group that is no bridge. In numeric order.
 *
 * @throws {RefusedError} `NO_MATCH` when the host has no such device, `NO_IOMMU` without a group.
 */
export function expandMembers(host: HostSnapshot, bdf: Bdf, members: Members): readonly Bdf[] {
  const device = host.devices.get(bdf);
  if (device === undefined) {
    throw new RefusedError('NO_MATCH', `The host has no PCI device ${bdf}`, {
      remedy: 'list what it has: qmplug devices',
      details: { device: bdf },
    });
  }
  switch (members) {
    case 'device':
      return [bdf];
    case 'slot':
      return functionsWhere(host, (other) => slotOf(other.bdf) === slotOf(bdf));
    case 'group': {
      const { iommuGroup } = device;
      if (iommuGroup === undefined) throw noIommu(bdf);
      return functionsWhere(host, (other) => other.iommuGroup === iommuGroup && !other.bridge);
    }
  }
}

export function noIommu(bdf: Bdf): RefusedError {
  return new RefusedError('NO_IOMMU', `${bdf} is in no IOMMU group, so VFIO cannot take it`, {
    remedy:
      'switch the IOMMU on in the firmware and on the kernel command line (intel_iommu=on on Intel)',
    details: { device: bdf },
  });
}

function functionsWhere(
  host: HostSnapshot,
  wanted: (device: HostDevice) => boolean,
): readonly Bdf[] {
  return [...host.devices.values()]
    .filter(wanted)
    .map((device) => device.bdf)
    .sort(compareBdf);
}
