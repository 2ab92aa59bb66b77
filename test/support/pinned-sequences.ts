import type { Step } from './agreement.js';

/** What once came out differently, cut down to what shows it. */
export interface PinnedSequence {
  readonly name: string;
  readonly hotplug: readonly ('acpi' | 'native')[];
  readonly steps: readonly Step[];
}

const add = (id: string, bus: string, addr: string): Step => [
  'device_add',
  { driver: 'edu', id, bus, addr },
];
const remove = (id: string): Step => ['device_del', { id }];

/** Run on real QEMUs with a Linux guest, for the ports of `MOTLEY`. */
export const PINNED: readonly PinnedSequence[] = [
  {
    name: 'far slots of ports that had a device at the last start',
    hotplug: ['acpi'],
    steps: [
      ...[add('far1', 'rp0', '0x1'), add('far2', 'rp0', '0x2'), add('far4', 'rp0', '0x4')],
      add('f1', 'rp1', '0x1.1'),
      ['system_reset'],
      ...[remove('far4'), remove('far2'), remove('far1')],
      ...[add('late', 'rp0', '0x3'), remove('late')],
      // From now on 10.0 tells its guest of nothing behind rp1.
      remove('f1'),
      ...[add('newer', 'dn1', '0x0'), remove('newer')],
      ...[add('older', 'rp0', '0x0'), remove('older')],
    ],
  },
  {
    name: 'a switch between its ports, of which the guest knows nothing until its next start',
    hotplug: ['acpi'],
    steps: [
      ...[add('inner', 'up0', '0x2'), remove('inner')],
      ...[add('other', 'up0', '0x3'), ['system_reset'] as const, remove('other')],
    ],
  },
  {
    name: 'far slots that firmware finds, and gives addresses, and Linux does not',
    hotplug: ['acpi', 'native'],
    steps: [
      ...[add('far', 'rp1', '0x1'), add('near', 'rp1', '0x0'), add('alone', 'rp0', '0x1')],
      ['system_reset'],
    ],
  },
  {
    name: 'a card without the option ROM that it comes with',
    hotplug: ['acpi', 'native'],
    steps: [
      ['device_add', { driver: 'e1000e', id: 'bare', bus: 'rp0', addr: '0x0', romfile: '' }],
      remove('bare'),
    ],
  },
  {
    name: 'a reset of a VM that stands still',
    hotplug: ['acpi', 'native'],
    steps: [['stop'], ['system_reset'], ['query-status'], ['stop'], ['query-status'], ['cont']],
  },
];
