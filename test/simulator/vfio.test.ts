import { describe, expect, it } from 'vitest';
import {
  audioFunction,
  gpuFunction,
  GUESTS,
  rootPorts,
  type HostConfig,
  type QemuConfig,
} from '../../src/simulator/index.js';
import { addressesOf, BenchVm } from './bench-vm.js';

const GPU = '0000:41:00.0';
const AUDIO = '0000:41:00.1';
const GIB = 1n << 30n;

const vfioGpu = gpuFunction({ bdf: GPU, group: 7, driver: 'vfio-pci' });
const vfioAudio = audioFunction({ bdf: AUDIO, group: 7, driver: 'vfio-pci' });
const HOST: HostConfig = { functions: [vfioGpu, vfioAudio] };

const start = (host: HostConfig = HOST, qemu: QemuConfig = {}) =>
  BenchVm.start({
    host,
    qemu: {
      devices: rootPorts(3, {
        properties: { 'pref64-reserve': 64n * GIB, 'mem-reserve': 64n << 20n },
      }),
      guest: GUESTS.linux,
      ...qemu,
    },
  });

const args = (id = 'g', host = GPU, bus = 'rp0', addr = '0x0') => ({
  driver: 'vfio-pci',
  id,
  bus,
  addr,
  host,
});

describe('vfio-pci', () => {
  it('shows the identity and regions of the function, placed in the port', async () => {
    const vm = await start();
    await vm.value('device_add', args());
    await vm.advance(100);
    const entry = await vm.pciEntry('g');
    expect(entry).toMatchObject({
      id: { vendor: 0x10de, device: 0x2330 },
      class_info: { class: 0x0302 },
    });
    const placed = addressesOf(entry);
    expect([placed[0], placed[1], placed[3]].every((address) => Number(address) > 0)).toBe(true);
    const path = '/machine/peripheral/g';
    expect(await vm.value('qom-get', { path, property: 'host' })).toBe(GPU);
    expect(await vm.value('qom-get', { path, property: 'sysfsdev' })).toBe(
      `/sys/bus/pci/devices/${GPU}`,
    );
  });

  it('opens the group once for all its functions and lets go with the last', async () => {
    const vm = await start();
    const { vfio } = vm.world.kernel;
    await vm.value('device_add', args());
    await vm.value('device_add', args('a', AUDIO, 'rp1'));
    await vm.advance(100);
    await vm.del('g');
    await vm.untilDeleted('g');
    expect(vfio.ownerOf(7)).toBe(vm.world.vm().process.pid);
    await vm.del('a');
    await vm.untilDeleted('a');
    expect(vfio.ownerOf(7)).toBeUndefined();
  });

  it('answers unbind on the host by asking the guest for the device', async () => {
    const vm = await start();
    await vm.value('device_add', args());
    await vm.advance(100);
    const { effects } = vm.world.startController();
    await vm.world.run(effects.write(`/sys/bus/pci/devices/${GPU}/driver/unbind`, GPU));
    expect(vm.world.kernel.find(GPU)?.driver).toBeUndefined();
    await vm.advance(5);
    expect(vm.client.deleted).toEqual(['g']);
  });

  it('lets unbind wait for ever when x-req is off', async () => {
    const vm = await start();
    await vm.value('device_add', { ...args(), 'x-req': false });
    await vm.advance(100);
    const { effects } = vm.world.startController();
    const unbind = effects.write(`/sys/bus/pci/devices/${GPU}/driver/unbind`, GPU);
    await expect(vm.world.run(unbind)).rejects.toMatchObject({ stuck: true });
    expect(await vm.peripherals()).toContain('g');
  });
});

describe('what device_add says', () => {
  const native = { functions: [gpuFunction({ bdf: GPU, group: 7 }), vfioAudio] };

  it.each([
    ['no such device', HOST, {}, 'no such host device: No such file or directory', '0000:99:00.0'],
    [
      'no IOMMU',
      { ...HOST, iommu: 'none', functions: [{ ...vfioGpu, driver: null }] },
      {},
      'no iommu_group found: No such file or directory',
      GPU,
    ],
    [
      'not bound to VFIO at all',
      { functions: [gpuFunction({ bdf: GPU, group: 7 })] },
      {},
      'failed to open /dev/vfio/7: No such file or directory',
      GPU,
    ],
    ['a sibling on a host driver', native, {}, 'group 7 is not viable', AUDIO],
    [
      'a member that is not on VFIO',
      { functions: [{ ...vfioGpu, driver: null }, vfioAudio] },
      {},
      'error getting device from group 7: No such device',
      GPU,
    ],
    [
      'a node that is not ours',
      HOST,
      { process: { uid: 107, gid: 107 } },
      'failed to open /dev/vfio/7: Permission denied',
      GPU,
    ],
    [
      'no interrupt remapping',
      { ...HOST, interruptRemapping: false },
      {},
      'failed to setup container for group 7: Failed to set iommu for container: Operation not permitted',
      GPU,
    ],
    [
      'a dead device',
      { functions: [{ ...vfioGpu, dead: true }] },
      {},
      'failed to read device config space',
      GPU,
    ],
  ] as const)('%s', async (_name, host, qemu, text, bdf) => {
    const vm = await start(host, qemu);
    const before = vm.world.snapshot();
    expect(await vm.refusal('device_add', args('g', bdf))).toContain(text);
    expect(vm.world.snapshot()).toBe(before);
  });

  it('a locked-memory limit below the RAM, and nothing once it is raised', async () => {
    const vm = await start(HOST, {
      process: { memlock: { soft: 65_536n, hard: 65_536n }, capabilities: 0n },
    });
    expect(await vm.refusal('device_add', args())).toMatch(
      /^vfio 0000:41:00\.0: failed to setup container for group 7: memory listener initialization failed: Region pc\.ram: vfio_dma_map\(0x[0-9a-f]+, 0x0, 0x10000000, 0x[0-9a-f]+\) = -12 \(Cannot allocate memory\)$/,
    );
    const { pid } = vm.world.vm().process;
    vm.world.kernel.setMemlock(pid, { soft: 2n * GIB, hard: 2n * GIB });
    await vm.value('device_add', args());
    expect(vm.world.kernel.processes.get(pid)?.lockedBytes).toBe(256n << 20n);
  });

  it('a group that another VM has, in the words of each release', async () => {
    for (const [release, text] of [
      ['7.2.22', 'failed to open /dev/vfio/7: Device or resource busy'],
      ['10.0.13', "Could not open '/dev/vfio/7': Device or resource busy"],
    ] as const) {
      const vm = await start(HOST, { release });
      await vm.value('device_add', args());
      const other = vm.world.startVm({ name: 'other', release, devices: rootPorts(1) });
      const { addDevice } = await import('../../src/simulator/qemu/device-add.js');
      expect(() => addDevice(other.machine, args('a', AUDIO))).toThrow(`vfio ${AUDIO}: ${text}`);
    }
  });

  it('the same device twice', async () => {
    const vm = await start();
    await vm.value('device_add', args());
    expect(await vm.refusal('device_add', args('again', GPU, 'rp1'))).toBe(
      `vfio ${GPU}: device is already attached`,
    );
  });
});
