import { describe, expect, it } from 'vitest';
import type { DetachResult, Vm } from '../../src/index.js';
import { GUESTS, type FaultRule, type GuestConfig, type World } from '../../src/simulator/index.js';
import { resetMachine } from '../../src/simulator/qemu/hotplug.js';
import {
  ACCELERATOR,
  ADDRESS,
  createHostWorld,
  openSimulatedVm,
  runTask,
  SECOND_ADDRESS,
} from './simulated.js';

const ID = 'vfio_device_5_0';
const RELEASED = [{ id: ID, state: 'released' }];

interface Setting {
  readonly hotplug?: 'acpi' | 'native';
  readonly guest?: GuestConfig;
  readonly rules?: readonly FaultRule[];
}

const worldOf = ({ hotplug = 'acpi', guest = GUESTS.linux, rules = [] }: Setting) =>
  createHostWorld({ seed: 1, guest, hotplug, faults: { rules } });

/** A process that opens the VM, works, and ends. */
function operate<T>(world: World, work: (vm: Vm) => Promise<T>, address = ADDRESS): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process, address);
    return await work(vm);
  });
}

const after = (world: World, ms: number) =>
  new Promise<void>((resolve) => world.clock.after(ms, resolve));

/** What may become of the event that tells of the removal, or of the reply to the request. */
const DISTURBANCES: readonly (FaultRule & { readonly title: string })[] = [
  {
    title: 'the event comes before the reply',
    fault: 'event-before-reply',
    at: { command: 'device_del' },
  },
  { title: 'the event comes late', fault: 'delay-event', at: { event: 'DEVICE_DELETED' } },
  { title: 'the event is lost', fault: 'drop-event', at: { event: 'DEVICE_DELETED' }, times: 9 },
  { title: 'the event comes twice', fault: 'duplicate-event', at: { event: 'DEVICE_DELETED' } },
  { title: "another device's event comes", fault: 'foreign-event', at: { command: 'device_del' } },
  {
    title: 'the session ends with the request',
    fault: 'disconnect-after-run',
    at: { command: 'device_del' },
  },
  {
    title: 'the session ends before the request',
    fault: 'disconnect-before-send',
    at: { command: 'device_del' },
  },
];

describe.each(['acpi', 'native'] as const)('with %s hot-plug', (hotplug) => {
  it.each(DISTURBANCES)('detach tells the truth when $title', async (rule) => {
    const world = worldOf({ hotplug, rules: [rule] });
    const before = world.snapshot();
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    await operate(world, (vm) => vm.detach(ACCELERATOR)).catch(() => undefined);
    // Whatever the first try was told, the next one finishes it.
    expect(await operate(world, (vm) => vm.detach(ACCELERATOR))).toMatchObject({
      removals: [{ state: 'released' }],
    });
    expect(world.snapshot()).toBe(before);
  });

  it('joins a removal that somebody else waits for', async () => {
    const world = worldOf({ hotplug });
    const before = world.snapshot();
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    const both = await Promise.all([
      operate(world, (vm) => vm.detach(ACCELERATOR)),
      operate(world, (vm) => vm.detach(ACCELERATOR), SECOND_ADDRESS),
    ]);
    expect(both.map(({ removals }) => removals)).toMatchObject([RELEASED, RELEASED]);
    expect(world.snapshot()).toBe(before);
  });

  it('tells that the VM is paused, and finishes once it runs', async () => {
    const world = worldOf({ hotplug });
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    world.vm().machine.stop();
    const paused = await operate(world, (vm) => vm.detach(ACCELERATOR, { timeoutMs: 3_000 }));
    expect(paused).toMatchObject({ removals: [{ id: ID, state: 'pending' }] });
    expect(paused.pending).toContain('the VM is paused');
    world.vm().machine.cont();
    const { removals } = await operate(world, (vm) => vm.detach(ACCELERATOR));
    expect(removals).toMatchObject(RELEASED);
  });

  it('leaves everything as it is while the guest does not answer', async () => {
    const world = worldOf({ hotplug, guest: GUESTS.refusing });
    await operate(world, (vm) => vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' }));
    // The firmware found it with its slot powered; nobody serves the button.
    resetMachine(world.vm().machine, false);
    await world.run(after(world, 5_000));
    const { removals } = await operate(world, (vm) => vm.detach('d0', { timeoutMs: 20_000 }));
    expect(removals).toMatchObject([{ id: 'd0', state: 'pending' }]);
    await expect(
      operate(world, (vm) => vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' })),
    ).rejects.toMatchObject({ code: 'STILL_PENDING' });
    const { ports } = await operate(world, (vm) => vm.inspect());
    expect(ports[0]).toMatchObject({ id: 'rp0', state: 'pending', mechanism: hotplug });
  });

  it('gets over a reset of the VM in the middle of it', async () => {
    const world = worldOf({ hotplug });
    const before = world.snapshot();
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    const detaching = operate(world, (vm) => vm.detach(ACCELERATOR, { timeoutMs: 60_000 }));
    await after(world, hotplug === 'native' ? 3_000 : 1);
    resetMachine(world.vm().machine, false);
    expect(await detaching).toMatchObject({ removals: RELEASED, pending: undefined });
    expect(world.snapshot()).toBe(before);
  });

  it('is heard by a guest that was still booting when it was asked', async () => {
    const world = worldOf({ hotplug });
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    resetMachine(world.vm().machine, false);
    await world.run(after(world, 500));
    const detaching = operate(world, (vm) => vm.detach(ACCELERATOR, { timeoutMs: 60_000 }));
    expect(await detaching).toMatchObject({ removals: RELEASED });
  });

  it('types a guest that declines', async () => {
    const world = worldOf({ hotplug, guest: GUESTS.slow });
    await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
    const detaching = operate(world, (vm) => vm.detach(ACCELERATOR));
    const { machine } = world.vm();
    const wasAsked = () => machine.find(ID)?.unplugLatchMs !== undefined;
    while (!wasAsked()) await after(world, 1);
    const path = `/machine/peripheral/${ID}`;
    machine.emit('DEVICE_UNPLUG_GUEST_ERROR', { device: ID, path });
    await expect(detaching).rejects.toMatchObject({
      name: 'UnplugRefusedError',
      code: 'UNPLUG_REFUSED',
      details: { removals: [{ id: ID, state: 'refused' }] },
    });
    const { attachments, removals } = await operate(world, (vm) => vm.inspect());
    expect({ attachments, removals }).toMatchObject({
      attachments: [{ functions: [{ id: ID }] }],
      removals: [],
    });
  });

  it('is not misled by the event of an earlier device of the same name', async () => {
    const late: FaultRule = {
      fault: 'delay-event',
      at: { event: 'DEVICE_DELETED' },
      delayMs: 9_000,
    };
    const world = worldOf({ hotplug, rules: [late] });
    const process = world.startController();
    await runTask(world, process, async () => {
      await using vm = await openSimulatedVm(process);
      const departures: unknown[] = [];
      vm.onDeparture((departure) => departures.push(departure));
      await vm.attach({ device: ACCELERATOR, wait: 'placed' });
      await vm.detach(ACCELERATOR);
      await vm.attach({ device: ACCELERATOR, wait: 'placed' });
      await new Promise<void>((resolve) => process.clock.after(12_000, resolve));
      expect(departures).toEqual([]);
      expect((await vm.inspect()).attachments).toMatchObject([{ functions: [{ id: ID }] }]);
    });
  });
});

it('waits out a guest that is powering the slot on', async () => {
  const world = worldOf({ hotplug: 'native' });
  const before = world.snapshot();
  const result = await operate(world, async (vm): Promise<DetachResult> => {
    await vm.attach({ device: ACCELERATOR });
    // The guest has pressed power on and blinks for about 140 ms.
    await after(world, 60);
    return vm.detach(ACCELERATOR);
  });
  expect(result).toMatchObject({ removals: RELEASED });
  expect(world.snapshot()).toBe(before);
});

it('says of a removal that ended meanwhile what it was, by its id', async () => {
  const world = worldOf({});
  await operate(world, (vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
  await operate(world, (vm) => vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' }));
  for (const [name, removals] of [
    [ACCELERATOR, RELEASED],
    ['d0', [{ id: 'd0', state: 'unplugged' }]],
  ] as const) {
    world.vm().machine.stop();
    await operate(world, (vm) => vm.detach(name, { timeoutMs: 1_000 }));
    world.vm().machine.cont();
    await world.run(after(world, 1_000));
    expect(await operate(world, (vm) => vm.detach(name))).toMatchObject({ removals });
  }
});

it.each([
  ['', false],
  [', not after a reset either', true],
])('says so where QEMU asks the guest no second time%s', async (_, resets) => {
  const world = worldOf({ hotplug: 'native', guest: GUESTS.refusing });
  await operate(world, (vm) => vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' }));
  resetMachine(world.vm().machine, false);
  await world.run(after(world, 5_000));
  const detaching = operate(world, (vm) => vm.detach('d0', { timeoutMs: 12_000 }));
  const device = world.vm().machine.find('d0');
  while (device?.unplugLatchMs === undefined) await after(world, 1);
  // As QEMU 5.2 does of every request, and later versions of one from before the VM ran.
  device.unplugLatchMs = 0;
  if (resets) resetMachine(world.vm().machine, false);
  expect(await detaching).toMatchObject({
    removals: [{ id: 'd0', state: 'pending' }],
    pending: expect.stringContaining('QEMU refuses to ask for d0 again') as unknown,
  });
});

it('ends an ACPI request that no guest heard with a reset of the VM', async () => {
  const world = worldOf({ guest: GUESTS.absent });
  await operate(world, (vm) => vm.attach({ device: ACCELERATOR }));
  const detaching = operate(world, (vm) => vm.detach(ACCELERATOR));
  await after(world, 2_000);
  resetMachine(world.vm().machine, false);
  expect(await detaching).toMatchObject({ removals: RELEASED });
});
