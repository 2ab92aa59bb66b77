import { expect, it } from 'vitest';
import { planBoot } from '../../src/boot/index.js';
import { known } from '../../src/known.js';
import { fitBars } from '../../src/pci/window-fit.js';
import { startQemu } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

const MIB = 1n << 20n;
const GIB = 1n << 30n;

it.each([1, 8, 64, 192, 240])(
  'QEMU and SeaBIOS take the plan for %i root ports, and the last port takes a device',
  async (rootPorts) => {
    const plan = planBoot({
      machine: 'q35',
      rootPorts,
      portLimit: 240,
      firmware: 'seabios',
      memoryBytes: 128n * MIB,
    });
    await using qemu = await startQemu({ args: plan.args });
    const ids = plan.ports.map((port) => port.id);
    const bridges = await waitForNumberedBuses(qemu, ids);
    const numbers = [...bridges.values()].map((bridge) => bridge.secondaryBus);
    expect(new Set(numbers).size).toBe(rootPorts);

    for (const { id, addr, chassis, slot } of plan.ports.slice(-8)) {
      const path = `/machine/peripheral/${id}`;
      const [device = '', fn = ''] = addr.slice(2).split('.');
      expect(await qemu.qmp.execute('qom-get', { path, property: 'addr' })).toBe(
        parseInt(device, 16) * 8 + Number(fn),
      );
      expect(await qemu.qmp.execute('qom-get', { path, property: 'chassis' })).toBe(chassis);
      expect(await qemu.qmp.execute('qom-get', { path, property: 'slot' })).toBe(slot);
    }

    const last = ids.at(-1) ?? '';
    await qemu.qmp.execute('device_add', {
      driver: 'pci-testdev',
      id: 'dev0',
      bus: last,
      addr: '0x0',
    });
    expect(
      await qemu.qmp.execute('qom-get', {
        path: '/machine/peripheral/dev0',
        property: 'parent_bus',
      }),
    ).toBe(`/machine/peripheral/${last}/${last}`);
  },
);

it('gets a window from SeaBIOS in which a 32 GiB BAR fits, wherever it is', async () => {
  const bars = [
    { index: 1, kind: 'pref64' as const, sizeBytes: 32n * GIB },
    { index: 3, kind: 'pref64' as const, sizeBytes: 32n * MIB },
    { index: 0, kind: 'mem32' as const, sizeBytes: 16n * MIB },
  ];
  const plan = planBoot({
    machine: 'q35',
    rootPorts: 3,
    firmware: 'seabios',
    memoryBytes: 128n * MIB,
    barsPerPort: [bars],
  });
  await using qemu = await startQemu({ args: plan.args, physBits: 40 });
  const bridges = await waitForNumberedBuses(
    qemu,
    plan.ports.map((port) => port.id),
  );
  for (const { memoryRange, prefetchableRange } of bridges.values()) {
    expect(
      fitBars(bars, { memory: known(memoryRange), prefetchable: known(prefetchableRange) }),
    ).toEqual({ kind: 'fits' });
  }
});

it('makes the ports native where that is asked for', async () => {
  const plan = planBoot({
    machine: 'q35',
    rootPorts: 1,
    firmware: 'seabios',
    memoryBytes: 128n * MIB,
    hotplug: 'native',
  });
  await using qemu = await startQemu({ args: plan.args, paused: true });
  expect(
    await qemu.qmp.execute('qom-get', {
      path: '/machine/peripheral/rp0/rp0',
      property: 'hotplug-handler',
    }),
  ).toBe('/machine/peripheral/rp0');
});
