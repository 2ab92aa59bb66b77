import { describe, expect, it } from 'vitest';
import { createWorld, nicFunction, portFunction, type World } from '../../src/simulator/index.js';
import { runScript } from '../programs/run-script.mjs';
import {
  KERNEL_SCRIPTS,
  WHILE_HELD,
  OF_THE_IOMMU,
  type KernelScript,
} from '../support/kernel-scripts.js';

const PLACES = {
  nic: '0000:00:07.0',
  'nic.group': '7',
  testdev: '0000:00:06.0',
  'pair-port': '0000:00:09.0',
  sriov: '0000:01:00.0',
  vf0: '0000:01:00.1',
  missing: '0000:00:1e.7',
  pair0: '0000:02:00.0',
  pair1: '0000:02:00.1',
  iommu: '0000:00:02.0',
};

/** The nested lab's host, as far as the scripts go. The same scripts run on the real one in test/lab. */
const host = {
  loadedModules: ['vfio-pci', 'pci-stub'],
  functions: [
    { ...nicFunction({ bdf: PLACES.nic, group: 7 }), resetMethods: ['pm'] },
    {
      bdf: PLACES.testdev,
      group: 6,
      vendorId: 0x1b36,
      deviceId: 0x0005,
      classCode: 0x00ff00,
    },
    portFunction({ bdf: PLACES['pair-port'], group: 9 }),
    { ...nicFunction({ bdf: PLACES.pair0, group: 10, parent: PLACES['pair-port'] }), driver: null },
    { ...nicFunction({ bdf: PLACES.pair1, group: 10, parent: PLACES['pair-port'] }), driver: null },
    { bdf: PLACES.iommu, vendorId: 0x1022, deviceId: 0x1419, classCode: 0x080600 },
    portFunction({ bdf: '0000:00:0b.0', group: 11 }),
    {
      bdf: PLACES.sriov,
      parent: '0000:00:0b.0',
      group: 12,
      vendorId: 0x1b36,
      deviceId: 0x0010,
      classCode: 0x010802,
      nativeDriver: 'nvme',
      sriov: { totalVfs: 4, vfDeviceId: 0x0010, vfDriver: 'nvme', offset: 1, stride: 1 },
    },
  ],
  mdevParents: {
    mtty: { 'mtty-1': { capacity: 24 }, 'mtty-2': { capacity: 24, units: 2 } },
  },
};

/** Runs a script, and expects of each line what the script says, and of the host that it is as it was. */
async function expectOf({ lines }: KernelScript, world: World) {
  const { effects } = world.startController();
  const before = world.snapshot();
  const script = lines.map(([line]) => line);
  const yielded = await world.run(runScript(effects, script, PLACES));
  expect(script.map((line, index) => [line, yielded[index]])).toEqual(lines);
  expect(world.snapshot()).toBe(before);
}

describe('the simulated kernel does what Linux does', () => {
  it.each([...KERNEL_SCRIPTS, OF_THE_IOMMU])('$name', async (script) => {
    await expectOf(script, createWorld({ seed: 1, host }));
  });

  it(WHILE_HELD.name, async () => {
    const world = createWorld({ seed: 1, host });
    const { effects } = world.startController();
    const device = `/sys/bus/pci/devices/${PLACES.pair0}`;
    await world.run(effects.write(`${device}/driver_override`, 'vfio-pci'));
    await world.run(effects.write('/sys/bus/pci/drivers_probe', PLACES.pair0));
    const { pid } = world.vm().process;
    const pair0 = world.kernel.find(PLACES.pair0);
    if (pair0 === undefined) throw new Error('no pair0');
    world.kernel.vfio.openGroup(pid, 10);
    world.kernel.vfio.openDevice(pid, pair0);
    await expectOf(WHILE_HELD, world);
  });
});
