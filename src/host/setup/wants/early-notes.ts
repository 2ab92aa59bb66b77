import { isHarmlessDriver } from '../../vfio-drivers.js';
import type { HostDevice } from '../../types.js';
import type { SetupFacts } from '../facts.js';
import type { Note } from './wish.js';

/** What an early device brings along that its owner may not think of. Nothing of it keeps a plan from being made. */
export function earlyNotes(
  devices: readonly HostDevice[],
  { allDevices }: SetupFacts,
): readonly Note[] {
  const chosen = new Set(devices.map(({ bdf }) => bdf));
  const screens = devices.filter(({ bootVga }) => bootVga);
  const groups = new Set(devices.map(({ iommuGroup }) => iommuGroup));
  const partners = allDevices.filter(
    ({ bdf, bridge, iommuGroup, driver }) =>
      !chosen.has(bdf) &&
      !bridge &&
      iommuGroup !== undefined &&
      groups.has(iommuGroup) &&
      driver !== undefined &&
      !isHarmlessDriver(driver),
  );
  return [
    ...screens.map(({ bdf }) => ({
      item: 'early.screen',
      text: `${bdf} shows the console of this host: nothing is seen any more once vfio-pci has it`,
    })),
    ...partners.map(({ bdf, driver = '', iommuGroup }) => ({
      item: 'early.group',
      text: `${bdf} (${driver}) is in IOMMU group ${iommuGroup} too: name it in early, or no VM can have the group`,
    })),
  ];
}
