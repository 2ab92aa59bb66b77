import { expect, it } from 'vitest';
import { connectQmp } from '../../src/qmp/index.js';
import { hasDeviceType, readCapabilities, type CapabilityCache } from '../../src/vm/index.js';
import { QEMU_VERSIONS, startQemu, type QemuProgram, type QemuVersion } from '../support/qemu.js';

const X86 = {
  '5.2': {
    strictTypes: false,
    iommufd: false,
    vfioFd: false,
    acpiBridgeHotplug: false,
    nativeHotplugProperty: undefined,
  },
  '7.2': {
    strictTypes: false,
    iommufd: false,
    vfioFd: false,
    acpiBridgeHotplug: true,
    nativeHotplugProperty: 'x-native-hotplug',
  },
  '10.0': {
    strictTypes: true,
    iommufd: true,
    vfioFd: true,
    acpiBridgeHotplug: true,
    nativeHotplugProperty: 'x-do-not-expose-native-hotplug-cap',
  },
  '11.1': {
    strictTypes: true,
    iommufd: true,
    vfioFd: true,
    acpiBridgeHotplug: true,
    nativeHotplugProperty: 'x-do-not-expose-native-hotplug-cap',
  },
} as const satisfies Record<QemuVersion, object>;

async function ask(version: QemuVersion, program: QemuProgram, machine: string) {
  await using qemu = await startQemu({ version, program, machine, paused: true });
  const session = await connectQmp(qemu.qmpPath);
  const cache: CapabilityCache = new Map();
  const capabilities = await readCapabilities(session, cache);
  const again = await readCapabilities(session, cache);
  const types = ['pci-testdev', 'vfio-pci', 'zpci', 'no-such-device'];
  const known = await Promise.all(types.map((type) => hasDeviceType(session, type)));
  await session.close();
  return { capabilities, again, types: types.filter((_, index) => known[index]) };
}

it.each(QEMU_VERSIONS)('reads what QEMU %s can do on x86', async (version) => {
  const { capabilities, again, types } = await ask(version, 'qemu-system-x86_64', 'q35');
  const [major, minor] = version.split('.').map(Number);
  expect(capabilities).toMatchObject({
    version: { major, minor },
    arch: 'x86_64',
    ...X86[version],
  });
  expect(again).toBe(capabilities);
  expect(types).toEqual(['pci-testdev', 'vfio-pci']);
});

it.each(QEMU_VERSIONS)('reads what QEMU %s can do on s390x', async (version) => {
  const machine = 's390-ccw-virtio';
  const { capabilities, types } = await ask(version, 'qemu-system-s390x', machine);
  const { iommufd, vfioFd, strictTypes } = X86[version];
  expect(capabilities).toMatchObject({
    arch: 's390x',
    ...{ iommufd, vfioFd, strictTypes, acpiBridgeHotplug: false, nativeHotplugProperty: undefined },
  });
  expect(types).toContain('zpci');
});
