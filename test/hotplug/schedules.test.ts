import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recoverHost, type Vm } from '../../src/index.js';
import {
  GUESTS,
  type FaultName,
  type QemuConfig,
  type TaskOutcome,
  type World,
} from '../../src/simulator/index.js';
import { resetMachine } from '../../src/simulator/qemu/hotplug.js';
import {
  ACCELERATOR,
  ADDRESS,
  createHostWorld,
  environmentOf,
  GPU,
  openSimulatedVm,
  SECOND_ADDRESS,
} from './simulated.js';

/**
 * Random commands, faults and kills against the real controller. Long runs:
 * `QMPLUG_SCHEDULES=1000000 npx vitest run --project unit test/hotplug/schedules`; a failing run prints its
 * seed and path, which then belong into SEEDS.
 */
const RUNS = Number(process.env['QMPLUG_SCHEDULES'] ?? 400);

type Target = 'accelerator' | 'gpu' | 'd0' | 'd1';
interface Command {
  readonly kind: 'attach' | 'detach' | 'recover' | 'reset';
  readonly target: Target;
  /** The process dies at this operation of its own; undefined lets it live. */
  readonly killAt: number | undefined;
  /** Runs at the same time as the next command, over the other monitor. */
  readonly beside: boolean;
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.constantFrom('attach', 'attach', 'detach', 'detach', 'recover', 'reset'),
  target: fc.constantFrom<Target>('accelerator', 'gpu', 'd0', 'd1'),
  killAt: fc.option(fc.integer({ min: 1, max: 260 }), { nil: undefined, freq: 2 }),
  beside: fc.boolean(),
});

// What QEMU, the guest, the monitor and the host do to anyone; a vanished device cannot be restored.
const FAULTS: readonly FaultName[] = [
  'disconnect-before-send',
  'disconnect-after-send',
  'disconnect-after-run',
  'late-reply',
  'truncated-reply',
  'event-before-reply',
  'unknown-reply',
  'foreign-event',
  'disconnect-after-reply',
  'drop-event',
  'delay-event',
  'duplicate-event',
  'open-busy',
  'slow-release',
  'write-fails',
  'torn-append',
];

const schedule = fc.record({
  seed: fc.integer({ min: 0, max: 0x7fffffff }),
  hotplug: fc.constantFrom<NonNullable<QemuConfig['hotplug']>>('acpi', 'native'),
  guest: fc.constantFrom(...(Object.keys(GUESTS) as (keyof typeof GUESTS)[])),
  faultCount: fc.nat(3),
  commands: fc.array(command, { minLength: 1, maxLength: 8 }),
});
type Schedule = typeof schedule extends fc.Arbitrary<infer S> ? S : never;

const HOSTS: Readonly<Partial<Record<Target, string>>> = { accelerator: ACCELERATOR, gpu: GPU };

async function operate(vm: Vm, { kind, target }: Command): Promise<unknown> {
  const device = HOSTS[target];
  switch (kind) {
    case 'attach':
      return device === undefined
        ? vm.attach({ id: target, emulate: { driver: 'pci-testdev' } })
        : vm.attach({ device, members: 'slot' });
    case 'detach':
      return vm.detach(device ?? target, { timeoutMs: 8_000 });
    case 'recover':
    case 'reset':
      return vm.recover();
  }
}

const idsIn = (world: World) =>
  new Set(
    world
      .vm()
      .machine.devices.flatMap(({ id }) => (id === undefined || id.startsWith('rp') ? [] : [id])),
  );

const idsOf = (target: Target): readonly string[] => {
  if (target === 'accelerator') return ['vfio_device_5_0'];
  return target === 'gpu' ? ['vfio_device_17_0', 'vfio_device_17_1'] : [target];
};

/** The host but for the process of the VM, which a schedule ends with. */
const hostOf = (world: World) =>
  world
    .snapshot()
    .replaceAll(/^process .*\n?/gm, '')
    .trimEnd();

/** What is true whatever happened, with nobody at work. */
function checkQuiet(world: World, asked: ReadonlySet<string>, before: ReadonlySet<string>): void {
  const mayLeave = world.vm().machine.config.guest?.ejectsAfterMs !== undefined;
  for (const id of before) {
    if (!idsIn(world).has(id) && !mayLeave) expect(asked).toContain(id);
  }
}

async function runSchedule({
  seed,
  hotplug,
  guest,
  faultCount,
  commands,
}: Schedule): Promise<void> {
  const world = createHostWorld({
    seed,
    guest: GUESTS[guest],
    hotplug,
    faults: { random: { probability: 0.02, only: FAULTS, limit: faultCount } },
  });
  const initial = hostOf(world);
  const everAsked = new Set<string>();
  for (let index = 0; index < commands.length; index += 1) {
    const batch = [commands[index]];
    if (commands[index]?.beside === true && index + 1 < commands.length) {
      index += 1;
      batch.push(commands[index]);
    }
    const before = idsIn(world);
    await world.run(
      Promise.all(
        batch.map(async (each, place) => {
          if (each === undefined) return;
          if (each.kind === 'reset') resetMachine(world.vm().machine, false);
          const asked = () => {
            for (const id of idsOf(each.target)) everAsked.add(id);
          };
          if (each.kind === 'detach') asked();
          const outcome = await runCommand(world, each, place === 0 ? ADDRESS : SECOND_ADDRESS);
          // What did not get done undoes itself, now or in a later recovery.
          if (each.kind === 'attach' && outcome.kind !== 'done') asked();
          checkTruth(world, each, outcome);
        }),
      ),
    );
    checkQuiet(world, everAsked, before);
  }
  await settle(world);
  expect(hostOf(world)).toBe(initial);
  expect(await world.store.list('plans')).toEqual([]);
  expect(await world.store.list('reservations')).toEqual([]);
}

function runCommand(world: World, each: Command, address: string): Promise<TaskOutcome<unknown>> {
  const process = world.startController();
  if (each.killAt !== undefined) process.killAt(each.killAt);
  return process.run(async () => {
    const vm = await openSimulatedVm(process, address);
    const result = await operate(vm, each);
    await vm.close();
    return result;
  });
}

/** A success must be one: what was said is looked up in QEMU and in the kernel. */
function checkTruth(world: World, { kind }: Command, outcome: TaskOutcome<unknown>): void {
  if (outcome.kind !== 'done' || kind !== 'detach') return;
  const { removals } = outcome.value as { removals: readonly { id: string; state: string }[] };
  for (const { id, state } of removals) {
    if (state === 'released' || state === 'unplugged') expect(idsIn(world)).not.toContain(id);
  }
}

/** Ends the VM and has the host given back, with no more faults. */
async function settle(world: World): Promise<void> {
  world.faults.stop();
  world.vm().kill();
  for (let round = 0; round < 2; round += 1) {
    const process = world.startController();
    const outcome = await world.run(process.run(() => recoverHost(environmentOf(process))));
    if (outcome.kind === 'failed') throw outcome.error;
    process.kill();
  }
}

/** Schedules that once failed, with what they found. */
const SEEDS: readonly { readonly found: string; readonly schedule: Schedule }[] = [];

describe('any schedule of commands, faults and kills', () => {
  it('ends with the host as it was', { timeout: 3_600_000 }, async () => {
    await fc.assert(fc.asyncProperty(schedule, runSchedule), { numRuns: RUNS });
  });

  it.each(SEEDS)('$found', async ({ schedule: pinned }) => {
    await runSchedule(pinned);
  });
});
