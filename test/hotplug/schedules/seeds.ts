import type { Command, Schedule } from './schedule.js';

/** A command of a process of its own, at once, which nobody disturbs; where a seed has it otherwise it says so. */
const command = (
  kind: Command['kind'],
  target: Command['target'],
  more: Partial<Command> = {},
): Command => ({
  kind,
  target,
  vm: 0,
  members: 'slot',
  waits: false,
  timeoutMs: 8000,
  abortAfterMs: undefined,
  killAt: undefined,
  by: 'process',
  afterMs: 0,
  ...more,
});

const COMMON = {
  hotplug: 'acpi',
  guest: 'linux',
  release: '7.2.22',
  chunks: 'whole',
  faultCount: 0,
  ending: 'detach',
} as const;

/** Schedules that once failed, with what they found. A seed that ever failed stays. */
export const SEEDS: readonly { readonly found: string; readonly schedule: Schedule }[] = [
  {
    found:
      'a detach that ended as pending while an attach went on was taken for never asked (of the schedules)',
    schedule: {
      ...COMMON,
      seed: 0,
      batches: [
        [
          command('attach', 'd1', { waits: true, killAt: { operation: 142, moment: 'before' } }),
          command('detach', 'd1', { afterMs: 40 }),
        ],
        [command('recover', 'accelerator', { killAt: { operation: 55, moment: 'before' } })],
      ],
    },
  },
  {
    found: 'an id was attached again while the removal of its namesake was still open',
    schedule: {
      ...COMMON,
      seed: 2147483626,
      faultCount: 3,
      batches: [
        [
          command('detach', 'accelerator', {
            vm: 1,
            members: 'group',
            timeoutMs: 60000,
            afterMs: 40,
          }),
          command('recover', 'd0', {
            waits: true,
            timeoutMs: 60000,
            abortAfterMs: 3,
            killAt: { operation: 248, moment: 'after' },
            afterMs: 6500,
          }),
          command('attach', 'd1', { members: 'device', afterMs: 2000 }),
        ],
        [
          command('status', 'd0', {
            members: 'group',
            timeoutMs: 4000,
            abortAfterMs: 3,
            afterMs: 300,
          }),
          command('recover-host', 'd0', { waits: true, timeoutMs: 60000, afterMs: 6500 }),
          command('recover', 'd0', { timeoutMs: 4000, afterMs: 40 }),
        ],
        [
          command('attach', 'd0', {
            members: 'group',
            waits: true,
            timeoutMs: 60000,
            afterMs: 300,
          }),
          command('detach', 'd0', { vm: 1, waits: true, timeoutMs: 60000, afterMs: 6500 }),
          command('status', 'd0', {
            members: 'device',
            timeoutMs: 15000,
            by: 'daemon',
            afterMs: 40,
          }),
        ],
        [
          command('attach', 'd0', { timeoutMs: 500, afterMs: 40 }),
          command('attach', 'd0', {
            vm: 1,
            timeoutMs: 15000,
            killAt: { operation: 132, moment: 'after' },
            afterMs: 6500,
          }),
          command('detach', 'd0', {
            members: 'group',
            timeoutMs: 15000,
            by: 'daemon',
            afterMs: 40,
          }),
        ],
      ],
    },
  },
  {
    found: 'a detach was blamed for what an attach beside it had put in since',
    schedule: {
      ...COMMON,
      seed: 1841183007,
      guest: 'ejecting',
      batches: [
        [command('attach', 'd1', { timeoutMs: 15000 })],
        [
          command('detach', 'd1', { waits: true }),
          command('attach', 'd1', { timeoutMs: 15000, afterMs: 40 }),
        ],
      ],
    },
  },
  {
    found: 'an attach of one function was taken for an attach of its whole slot',
    schedule: {
      ...COMMON,
      seed: 0,
      batches: [
        [command('attach', 'nic', { by: 'daemon' })],
        [command('detach', 'nic')],
        [command('attach', 'nic', { members: 'group', afterMs: 300 })],
      ],
    },
  },
  {
    found: 'nobody lifted the quarantine of a device whose bind had hung (of the schedules)',
    schedule: {
      ...COMMON,
      seed: 3,
      release: '10.0.13',
      faultCount: 3,
      iommufd: 'handed',
      batches: [
        [command('detach', 'accelerator')],
        [command('recover-host', 'accelerator', { abortAfterMs: 0 })],
        [command('attach', 'accelerator')],
        [
          command('detach', 'accelerator'),
          command('detach', 'accelerator', { killAt: { operation: 1, moment: 'before' } }),
        ],
      ],
    },
  },
  {
    found: 'two devices at once left the memory limit of QEMU where the first had raised it',
    schedule: {
      ...COMMON,
      seed: 0,
      iommufd: 'handed',
      batches: [
        [command('attach', 'accelerator'), command('attach', 'gpu')],
        [
          command('detach', 'accelerator'),
          command('detach', 'gpu'),
          { kind: 'reset', vm: 0, target: 'accelerator', afterMs: 0 },
        ],
      ],
    },
  },
  {
    found: 'the same, where the guest ejects and an attach is killed',
    schedule: {
      ...COMMON,
      seed: 0,
      hotplug: 'native',
      guest: 'ejecting',
      chunks: 'random',
      iommufd: 'handed',
      batches: [
        [command('attach', 'accelerator'), command('attach', 'nic'), command('detach', 'nic')],
        [command('detach', 'nic'), command('recover', 'accelerator')],
        [command('attach', 'accelerator', { killAt: { operation: 1, moment: 'before' } })],
      ],
    },
  },
  {
    found:
      'a detach that began before an attach of the same batch, and asked after it, was taken for never asked (of the schedules)',
    schedule: {
      ...COMMON,
      seed: 0,
      guest: 'slow',
      chunks: 'random',
      iommufd: 'none',
      batches: [
        [
          command('detach', 'd0', { killAt: { operation: 1, moment: 'before' } }),
          command('attach', 'accelerator'),
        ],
        [
          command('attach', 'd0', {
            abortAfterMs: 0,
            killAt: { operation: 1, moment: 'before' },
          }),
          command('detach', 'd0'),
          command('attach', 'd0', { waits: true }),
        ],
        [command('recover', 'd0'), command('attach', 'accelerator')],
      ],
    },
  },
];
