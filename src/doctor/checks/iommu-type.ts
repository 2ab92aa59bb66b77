import { readAttribute } from '../../host/reading.js';
import type { DeviceCheck } from '../check.js';
import { ok, seen, skip, unknownAnswer, warn } from '../finding.js';

export const iommuType: DeviceCheck = {
  id: 'iommu.type',
  about: "how the host's own driver reaches memory through the device's group",
  needs: 'device',
  async run({ effects, record: { iommuGroup }, desired }) {
    if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
    if (iommuGroup.value === undefined) return skip('the device is in no IOMMU group');
    const path = `/sys/kernel/iommu_groups/${iommuGroup.value}/type`;
    const type = await readAttribute(effects, path);
    if (type === undefined) return skip('the kernel does not tell', seen(path, 'absent'));
    return type === 'identity' && desired?.iommu?.mode === 'strict'
      ? warn(
          'strict isolation is wanted, and the device reaches all memory while the host has it',
          'set iommu.passthrough=0 iommu.strict=1 on the kernel command line',
          seen(path, type),
        )
      : ok(type, seen(path, type));
  },
};
