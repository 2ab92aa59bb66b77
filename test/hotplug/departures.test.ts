import { describe, expect, it } from 'vitest';
import type { Departure, Vm } from '../../src/index.js';
import { GUESTS, type FaultRule, type World } from '../../src/simulator/index.js';
import { ACCELERATOR, createHostWorld, GPU, onVm } from './simulated.js';

const ID = 'vfio_device_5_0';
const EJECTS: FaultRule = { fault: 'guest-ejects', at: { device: ID } };

const worldOf = (hotplug: 'acpi' | 'native', rules: readonly FaultRule[] = []) =>
  createHostWorld({ seed: 1, guest: GUESTS.linux, hotplug, faults: { rules } });

/** A guest that gives the device back as soon as QEMU has it, so many times. */
function ejectAtOnce(world: World, times: number): void {
  if (times === 0) return;
  const isThere = world.vm().machine.find(ID) !== undefined;
  if (isThere) world.vm().guest.eject(ID);
  world.clock.after(0.1, () => {
    ejectAtOnce(world, isThere ? times - 1 : times);
  });
}

/** The next departure that is over. */
const over = (vm: Vm) =>
  new Promise<Departure>((resolve) => {
    vm.onDeparture((departure) => {
      if (departure.state !== 'pending') resolve(departure);
    });
  });

describe.each(['acpi', 'native'] as const)('with %s hot-plug', (hotplug) => {
  it('gives back at once what the guest ejects while the VM is open, and tells', async () => {
    const world = worldOf(hotplug);
    const before = world.snapshot();
    await onVm(world, async (vm) => {
      await vm.attach({ device: ACCELERATOR, wait: 'placed' });
      const departure = over(vm);
      world.vm().guest.eject(ID);
      expect(await departure).toMatchObject({ ids: [ID], state: 'released' });
      const { ports, attachments } = await vm.inspect();
      expect(attachments).toEqual([]);
      expect(ports[0]).toMatchObject({ id: 'rp0', state: 'free' });
    });
    expect(world.snapshot()).toBe(before);
  });

  it('gives a whole slot back once, and leaves the other devices alone', async () => {
    const world = worldOf(hotplug);
    await onVm(world, async (vm) => {
      await vm.attach({ device: GPU, members: 'slot', wait: 'placed' });
      await vm.attach({ device: ACCELERATOR, wait: 'placed' });
      const told: Departure[] = [];
      vm.onDeparture((departure) => told.push(departure));
      const departure = over(vm);
      world.vm().guest.eject('vfio_device_17_0');
      await departure;
      expect(told.filter(({ state }) => state === 'released')).toHaveLength(1);
      expect([...(told.at(-1)?.ids ?? [])].sort()).toEqual([
        'vfio_device_17_0',
        'vfio_device_17_1',
      ]);
      expect((await vm.inspect()).attachments).toMatchObject([{ functions: [{ id: ID }] }]);
    });
  });

  it('gives it back with the next command where nobody had the VM open', async () => {
    const world = worldOf(hotplug);
    const before = world.snapshot();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    world.vm().guest.eject(ID);
    await onVm(world, (vm) => vm.recover());
    expect(world.snapshot()).toBe(before);
  });

  it('does not take a removal that was asked for as a departure', async () => {
    const world = worldOf(hotplug);
    await onVm(world, async (vm) => {
      const told: Departure[] = [];
      vm.onDeparture((departure) => told.push(departure));
      await vm.attach({ device: ACCELERATOR, wait: 'placed' });
      await vm.detach(ACCELERATOR);
      expect(told).toEqual([]);
    });
  });

  it('attaches once more what the guest gives back while its BARs are awaited, and says so', async () => {
    const world = createHostWorld({
      seed: 1,
      guest: { ...GUESTS.linux, placesBars: false },
      hotplug,
      faults: { rules: [EJECTS] },
    });
    const { warnings, attachment, pending } = await onVm(world, (vm) =>
      vm.attach({ device: ACCELERATOR, wait: 'placed' }, { timeoutMs: 5_000 }),
    );
    expect(warnings).toMatchObject([{ code: 'given-back' }]);
    expect(attachment).toMatchObject({ functions: [{ id: ID }] });
    expect(pending).toMatch(/has not placed/);
    expect(world.vm().machine.find(ID)).toBeDefined();
  });

  it('attaches once more what the guest gives back before it is seen in its place', async () => {
    const world = worldOf(hotplug);
    ejectAtOnce(world, 1);
    const { warnings } = await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    expect(warnings).toMatchObject([{ code: 'given-back' }]);
    expect(world.vm().machine.find(ID)).toBeDefined();
  });

  it('gives up what leaves like that twice, with the host as it was', async () => {
    const world = worldOf(hotplug);
    const before = world.snapshot();
    ejectAtOnce(world, 2);
    await expect(onVm(world, (vm) => vm.attach({ device: ACCELERATOR }))).rejects.toMatchObject({
      name: 'StepError',
      code: 'GIVEN_BACK',
      details: { ids: [ID] },
    });
    expect(world.snapshot()).toBe(before);
  });

  it('gives up what the guest gives back twice, with the host as it was', async () => {
    const world = createHostWorld({
      seed: 1,
      guest: { ...GUESTS.linux, placesBars: false },
      hotplug,
      faults: { rules: [{ ...EJECTS, times: 2 }] },
    });
    const before = world.snapshot();
    await expect(
      onVm(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' })),
    ).rejects.toMatchObject({ name: 'StepError', code: 'GIVEN_BACK', details: { ids: [ID] } });
    expect(world.vm().machine.find(ID)).toBeUndefined();
    expect(world.snapshot()).toBe(before);
  });
});

it('warns that a guest which has not booted may give the device back', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux', bootMs: 1_900 } });
  world.vm().machine.stop();
  const { warnings } = await onVm(world, (vm) =>
    vm.attach({ device: ACCELERATOR, allow: ['unknown-window'] }),
  );
  expect(warnings.map(({ code }) => code)).toEqual(['window-unknown', 'guest-booting']);
});
