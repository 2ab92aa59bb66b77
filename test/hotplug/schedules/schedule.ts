import fc from 'fast-check';
import type {
  FaultName,
  FaultRule,
  GUESTS,
  QemuConfig,
  ReleaseName,
} from '../../../src/simulator/index.js';

/** What a command is about: host functions by their slot, or an emulated device. */
export type Target = 'accelerator' | 'gpu' | 'nic' | 'd0' | 'd1';

/** One use of the library, as a shim, an operator or a daemon makes it. */
export interface Command {
  readonly kind: 'attach' | 'detach' | 'recover' | 'recover-host' | 'status';
  readonly vm: 0 | 1;
  readonly target: Target;
  readonly members: 'device' | 'slot' | 'group';
  /** An attach waits for its BARs; a detach waits for its end. */
  readonly waits: boolean;
  readonly timeoutMs: number;
  /** The caller loses patience so long after the call. */
  readonly abortAfterMs: number | undefined;
  /** The process dies at this operation of its own. */
  readonly killAt: { readonly operation: number; readonly moment: 'before' | 'after' } | undefined;
  /** Runs in a process that lives on and has its VMs open, or in one of its own. */
  readonly by: 'daemon' | 'process';
  readonly afterMs: number;
}

/** Something that nobody of ours does. */
export interface Happening {
  readonly kind: 'reset' | 'pause' | 'vm-dies' | 'occupied' | 'ejects';
  readonly vm: 0 | 1;
  readonly target: Target;
  readonly afterMs: number;
}

export type Action = Command | Happening;

export interface Schedule {
  readonly seed: number;
  readonly hotplug: NonNullable<QemuConfig['hotplug']>;
  readonly guest: keyof typeof GUESTS;
  readonly release: ReleaseName;
  readonly chunks: 'whole' | 'random' | 'bytes';
  /** Whether the host has iommufd, and its nodes are QEMU's to open or have to be handed to it. Default `none`. */
  readonly iommufd?: 'none' | 'opened' | 'handed' | undefined;
  /** How many faults strike by chance. */
  readonly faultCount: number;
  /** Faults that strike at a place of their own. */
  readonly rules?: readonly FaultRule[] | undefined;
  /** The actions of one batch run at the same time. */
  readonly batches: readonly (readonly Action[])[];
  /** Whether everything is taken out before the VMs end. */
  readonly ending: 'detach' | 'kill';
}

/**
 * What QEMU, the guest, the monitor, the host and the disk do to anyone. Two of the simulator's faults are left
 * out: a vanished device cannot be restored, and kills are drawn by the commands.
 */
export const FAULTS: readonly FaultName[] = [
  'connect-refused',
  'no-greeting',
  'disconnect-before-send',
  'disconnect-after-send',
  'late-run',
  'vm-killed-before-run',
  'disconnect-after-run',
  'late-reply',
  'truncated-reply',
  'event-before-reply',
  'unknown-reply',
  'foreign-event',
  'disconnect-after-reply',
  'vm-killed-after-run',
  'drop-event',
  'delay-event',
  'duplicate-event',
  'guest-ejects',
  'open-busy',
  'open-gone',
  'slow-release',
  'read-fails',
  'write-fails',
  'write-hangs',
  'store-fails',
  'torn-append',
];

const vm = fc.constantFrom<0 | 1>(0, 0, 0, 0, 1);
const anyTarget = fc.constantFrom<Target>('accelerator', 'gpu', 'nic', 'd0', 'd1');
const afterMs = fc.constantFrom(0, 0, 1, 5, 40, 300, 2_000, 6_500);

/** Seldom something, mostly nothing. */
const seldom = <T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 100 - weight, arbitrary: fc.constant(undefined) }, { weight, arbitrary });

const anyCommand = (target: fc.Arbitrary<Target>): fc.Arbitrary<Command> =>
  fc.record({
    kind: fc.oneof(
      { weight: 4, arbitrary: fc.constant('attach' as const) },
      { weight: 4, arbitrary: fc.constant('detach' as const) },
      {
        weight: 2,
        arbitrary: fc.constantFrom<Command['kind']>('recover', 'recover-host', 'status'),
      },
    ),
    vm,
    target,
    members: fc.constantFrom('slot', 'slot', 'slot', 'device', 'group'),
    waits: fc.boolean(),
    timeoutMs: fc.constantFrom(8_000, 15_000, 4_000, 500, 60_000),
    abortAfterMs: seldom(8, fc.constantFrom(0, 3, 100, 3_000)),
    killAt: seldom(
      25,
      fc.record({
        operation: fc.integer({ min: 1, max: 260 }),
        moment: fc.constantFrom('before', 'after'),
      }),
    ),
    by: fc.constantFrom('process', 'process', 'daemon'),
    afterMs,
  });

const anyHappening = (target: fc.Arbitrary<Target>): fc.Arbitrary<Happening> =>
  fc.record({
    kind: fc.constantFrom('reset', 'reset', 'pause', 'vm-dies', 'occupied', 'ejects'),
    vm,
    target,
    afterMs,
  });

/** Batches that are mostly about one target, so that one command meets what another has done. */
const anyBatches = anyTarget.chain((focus) => {
  const target = fc.oneof(
    { weight: 3, arbitrary: fc.constant(focus) },
    { weight: 2, arbitrary: anyTarget },
  );
  const action: fc.Arbitrary<Action> = fc.oneof(
    { weight: 9, arbitrary: anyCommand(target) },
    { weight: 1, arbitrary: anyHappening(target) },
  );
  const batch = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(action) },
    { weight: 2, arbitrary: fc.array(action, { minLength: 2, maxLength: 3 }) },
  );
  return fc.array(batch, { minLength: 1, maxLength: 6 });
});

/** Any schedule; guests that answer come more often than the difficult ones. */
export const anySchedule: fc.Arbitrary<Schedule> = fc.record({
  seed: fc.integer({ min: 0, max: 0x7fffffff }),
  hotplug: fc.constantFrom('acpi', 'native'),
  guest: fc.constantFrom<Schedule['guest']>(
    'linux',
    'linux',
    'linux',
    'absent',
    'linuxAcpi',
    'linuxNative',
    'booting',
    'refusing',
    'slow',
    'ejecting',
  ),
  release: fc.constantFrom('7.2.22', '10.0.13'),
  chunks: fc.oneof(
    { weight: 20, arbitrary: fc.constant('whole' as const) },
    { weight: 3, arbitrary: fc.constant('random' as const) },
    { weight: 1, arbitrary: fc.constant('bytes' as const) },
  ),
  faultCount: fc.constantFrom(0, 0, 1, 2, 3),
  batches: anyBatches,
  ending: fc.constantFrom('detach', 'kill'),
  iommufd: fc.constantFrom('none', 'none', 'opened', 'handed'),
});
