import { readVgpu } from '../../host/vgpu.js';
import type { Bdf } from '../../pci/pci-address.js';
import { readMdevTypes } from '../../host/inventory/mdevs.js';
import { devicePath } from '../../host/pci-function.js';
import { listOrNone } from '../../host/reading.js';
import type { DeviceCheck, DeviceReads } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';

type Framework = 'mdev' | 'nvidia-vendor-vfio' | 'none';

export const vgpuFramework: DeviceCheck = {
  id: 'vgpu.framework',
  about:
    "by which framework the device is shared out: mdev, or a vendor's own on its virtual functions",
  needs: 'device',
  async run({ effects, bdf, desired, record: { sriov } }) {
    if (!sriov.known) return unknownAnswer(sriov.reason);
    const functions = [bdf, ...sriov.value.vfs];
    const found = await Promise.all(
      functions.map(async (each) => ({ bdf: each, framework: await frameworkOf(effects, each) })),
    );
    const used = found.filter(({ framework }) => framework !== 'none');
    const kinds = [...new Set(used.map(({ framework }) => framework))];
    const read = (used.length === 0 ? found.slice(0, 1) : used).map((each) =>
      seen(devicePath(each.bdf), each.framework),
    );
    const wanted = desired?.devices?.vgpu ?? 'keep';
    if (wanted !== 'keep' && !kinds.includes(wanted)) {
      return fail(
        `the desired state asks for ${wanted}, and there is ${kinds.join(' and ') || 'none'}`,
        "install the vendor's driver for it on the host, or change devices.vgpu",
        ...read,
      );
    }
    return kinds.length > 1
      ? warn(
          `${kinds.join(' and ')} on one device`,
          'remove what one of them made: qmplug host mdev remove UUID, or vGPU type 0',
          ...read,
        )
      : ok(kinds[0] ?? 'none', ...read);
  },
};

async function frameworkOf(effects: DeviceReads['effects'], bdf: Bdf): Promise<Framework> {
  if ((await readVgpu(effects, bdf)) !== undefined) return 'nvidia-vendor-vfio';
  const names = await listOrNone(effects, devicePath(bdf));
  if (!names.includes('mdev_supported_types')) return 'none';
  return (await readMdevTypes(effects, devicePath(bdf))).length > 0 ? 'mdev' : 'none';
}
