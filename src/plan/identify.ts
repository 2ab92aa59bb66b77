import type { HostSnapshot } from '../host/types.js';
import { functionIdOf as idInGroup } from '../pci/index.js';
import type { Bdf } from '../pci/pci-address.js';
import { groupOf } from './checks.js';

/**
 * The id a host function always has in a VM, `vfio_device_<group>_<idx>`. Bridges never go into a VM and do
 * not count, so that a group behind a bridge still begins at 0.
 */
export function functionIdOf(host: HostSnapshot, bdf: Bdf): string {
  const group = groupOf(host, bdf);
  const members = (host.groups.get(group)?.members ?? []).filter(
    (member) => host.devices.get(member)?.bridge !== true,
  );
  return idInGroup(group, members, bdf);
}
