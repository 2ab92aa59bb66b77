import type { Bdf } from '../pci/pci-address.js';
import type { HostDevice, HostSnapshot } from './types.js';
import { isMdevUuid } from './mdev-name.js';
import { isHarmlessDriver } from './vfio-drivers.js';

/** A member of an IOMMU group that keeps VFIO from owning the group. */
export interface GroupCulprit {
  /** BDF, or the name of a member that is no PCI function. */
  readonly name: string;
  readonly bdf: Bdf | undefined;
  /** `unknown` where it could not be told. */
  readonly driver: string;
  readonly remedy: string;
}

/**
 * The members that would make `device_add` fail with `group N is not viable`; none means the group is
 * viable. A member is harmless when it is unbound or its driver manages DMA for user space (Linux
 * drivers/vfio and iommu_device_use_default_domain, 6.12). QEMU names no culprit, so this
 * is told before. Asked anew for every attach: a driver that loads later breaks a working group.
 *
 * @param binding members that are about to be bound to a VFIO driver anyway.
 */
export function findCulprits(
  host: HostSnapshot,
  group: number,
  binding: ReadonlySet<Bdf> = new Set(),
): readonly GroupCulprit[] {
  const members = host.groups.get(group);
  if (members === undefined) return [];
  return [
    ...members.members
      .filter((bdf) => !binding.has(bdf))
      .flatMap((bdf) => {
        const device = host.devices.get(bdf);
        return device === undefined ? [unreadMember(bdf)] : boundCulprit(device);
      }),
    ...members.others.filter((name) => !isMdevUuid(name)).map(otherCulprit),
  ];
}

function boundCulprit({ bdf, driver, bridge }: HostDevice): readonly GroupCulprit[] {
  if (driver === undefined || isHarmlessDriver(driver)) return [];
  const remedy = bridge
    ? `${bdf} is a bridge on ${driver}: echo ${bdf} > /sys/bus/pci/drivers/${driver}/unbind, ` +
      'or keep that driver from loading; pcieport and no driver are both fine'
    : `hand it over too (--members group), or unbind it: echo ${bdf} > /sys/bus/pci/drivers/${driver}/unbind`;
  return [{ name: bdf, bdf, driver, remedy }];
}

function unreadMember(bdf: Bdf): GroupCulprit {
  return { name: bdf, bdf, driver: 'unknown', remedy: `check /sys/bus/pci/devices/${bdf}/driver` };
}

function otherCulprit(name: string): GroupCulprit {
  return {
    name,
    bdf: undefined,
    driver: 'unknown',
    remedy: `${name} is no PCI function; unbind its driver or bind it to vfio-platform`,
  };
}
