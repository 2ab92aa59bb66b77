import { describe, expect, it } from 'vitest';
import { createWorld, nicFunction, portFunction } from '../../src/simulator/index.js';
import { runScript } from '../programs/run-script.mjs';
import { KERNEL_SCRIPTS } from '../support/kernel-scripts.js';

const PLACES = {
  nic: '0000:00:07.0',
  'nic.group': '7',
  testdev: '0000:00:06.0',
  'pair-port': '0000:00:09.0',
  sriov: '0000:01:00.0',
  vf0: '0000:01:00.1',
  missing: '0000:00:1e.7',
};

/** The nested lab's host, as far as the scripts go. The same scripts run on the real one in test/lab. */
const host = {
  loadedModules: ['vfio-pci'],
  functions: [
    nicFunction({ bdf: PLACES.nic, group: 7 }),
    {
      bdf: PLACES.testdev,
      group: 6,
      vendorId: 0x1b36,
      deviceId: 0x0005,
      classCode: 0x00ff00,
    },
    portFunction({ bdf: PLACES['pair-port'], group: 9 }),
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

describe('the simulated kernel does what Linux does', () => {
  it.each(KERNEL_SCRIPTS)('$name', async ({ lines }) => {
    const world = createWorld({ seed: 1, host });
    const { effects } = world.startController();
    const before = world.snapshot();
    const script = lines.map(([line]) => line);
    const yielded = await world.run(runScript(effects, script, PLACES));
    expect(script.map((line, index) => [line, yielded[index]])).toEqual(lines);
    expect(world.snapshot()).toBe(before);
  });
});
