import { join } from 'node:path';

/** Bad texts for each option that takes a value, and good arguments to go with them; the option itself may be among these. */
export interface OptionRows {
  readonly good: readonly string[];
  readonly bad: Readonly<Record<string, readonly string[]>>;
  /** Argument lists that are wrong as a whole, `VM` standing for the door. */
  readonly wholes: readonly (readonly string[])[];
}

const DEVICE = '{"driver":"pci-testdev"}';
const TIMEOUTS = ['', '-1', '1s', 'NaN', 'Infinity', '1e3', '0x10', '86401', ' 1', '1.'];
const PIDS = ['', '0', '-1', '1.5', 'qemu', '12345678901'];
const COUNTS = ['', '-1', '1.5', '0x2', 'many', '1e2'];
const SIZES = ['', '-1', '1.5G', '5x', 'G', '0x10', '1 G'];
const REASONS = ['', '*', 'In-Use', 'in use', 'in-use.', '-x', '../x'];
const SOCKETS = ['', 'tcp:localhost:1', 'ws://localhost/', 'exec:cat', 'x'.repeat(108), 'unix:'];
const TRANSCRIPT = join(
  import.meta.dirname,
  '../../fixtures/qmp-transcripts/7.2.22/q35/attach.jsonl',
);
const OUTPUTS = ['', '/', '/nowhere/at/all/x.jsonl'];
const REPLIES = join(import.meta.dirname, '../transcript/logs/replies-alone.replies');
const OWNERS = ['', '-a', 'a b', '../a', 'ä', 'a\n', 'x'.repeat(65)];
const DRIVERS = ['', 'nvidia', 'vfio_pci', 'Keep', 'auto ', 'none'];
const TOKEN = '5dbb4a7c-6a49-4f7a-9c37-2d8a1f0be111';
const FIELDS = ['', 'frobnicate', 'numa:0', '*'];
const SELECTORS = ['', 'gpu', 'id:', 'frobnicate:1', '(', '{', '{"match":1}', 'numa:0 |'];
const DESIRED = join(import.meta.dirname, '../../examples/host.json');
/** JSON, and no desired state. */
const MANIFEST = join(import.meta.dirname, '../../package.json');
/** Options of every command that may choose several devices. */
const POLICY_OPTIONS = {
  '--policy': ['', 'two', 'first', 'first:0', 'first:1.5', 'all:1', 'group-by', 'group-by:x'],
  '--order': [...FIELDS, '-', '--numa'],
  '--same': FIELDS,
  '--distinct': FIELDS,
  '--or-else': SELECTORS,
  '--spread': FIELDS,
  '--pack': FIELDS,
  '--near': COUNTS,
  '--numa': ['', 'strict', 'Required', '0'],
  '--pin': [''],
  '--policy-file': [''],
};
/** Options of every command that takes what is named. */
const TAKING_OPTIONS = { '--policy-file': [''], '--reserved-for': OWNERS };
/** Options of every command that does nothing but choose. */
const CHOICE_OPTIONS = { ...POLICY_OPTIONS, '--allow': REASONS, '--for': OWNERS };
/** Argument lists that no such command takes. */
const BAD_CHOICES = [
  [],
  ...SELECTORS.map((selector) => [selector]),
  ['0000:3b:00.0', 'surplus'],
  ['0000:3b:00.0', '--spread', 'numa', '--pack', 'numa'],
  ['0000:3b:00.0', '--policy', 'one', '--policy', 'all'],
  ['0000:3b:00.0', '--for', 'a', '--for', 'b'],
];
const SETUP_OPTIONS = {
  '--root': ['', '/nowhere/at/all', DESIRED],
  '--state-dir': ['', 'state', './state', '../state'],
};
/** Argument lists that no command takes whose first argument is a desired state; `rest` follows it. */
const badDesired = (...rest: readonly string[]) => [
  [],
  ['', ...rest],
  ['/nowhere.json', ...rest],
  ['/', ...rest],
  [import.meta.filename, ...rest],
  [MANIFEST, ...rest],
  [DESIRED, ...rest, 'surplus'],
  [DESIRED, ...rest, '--root', '/tmp', '--root', '/tmp'],
];
const VM_OPTIONS = { '--timeout': TIMEOUTS, '--qemu-pid': PIDS };

export const ROWS: Readonly<Record<string, OptionRows>> = {
  'boot-args': {
    good: [],
    bad: {
      '--machine': [''],
      '--root-ports': [...COUNTS, '0', '193', '241'],
      '--switch-ports': [...COUNTS, '0', '193'],
      '--pci-bridges': [...COUNTS, '0', '193'],
      '--ccw-bridges': [...COUNTS, '0', '1', '5'],
      '--numa': ['', ',', '0,', '-1', '0,x', '0-1', '0,0', '1e2'],
      '--window': SIZES,
      '--memory-window': SIZES,
      '--for': ['', 'gpu', '3b:00', '0000:3b:20.0', '0000:3b:00.8', '../../etc'],
      '--members': ['', 'all', 'Group', 'slot'],
      '--firmware': ['', 'SeaBIOS', 'uboot'],
      '--memory': [...SIZES, '0'],
      '--hotplug-memory': SIZES,
      '--phys-bits': [...COUNTS, '31', '53'],
      '--hotplug': ['', 'shpc', 'ACPI'],
      '--first-device': [...COUNTS, '0', '31'],
      '--port-limit': [...COUNTS, '0', '241'],
      '--mmio64': [...SIZES, '64G'],
    },
    wholes: [['surplus'], ['--root-ports', '2', '--root-ports', '3'], ['--window']],
  },
  attach: {
    good: ['VM', '0000:3b:00.0'],
    bad: {
      '--driver': DRIVERS,
      '--vf-token': ['', 'x', '0000:3b:00.0', TOKEN.slice(1), `{${TOKEN}}`, `${TOKEN}\n`],
      '--port': [''],
      '--members': ['', 'all', 'Device', 'device,slot'],
      '--wait': ['', 'guest!', 'PLACED'],
      '--allow': REASONS,
      '--reserved-for': OWNERS,
      '--zpci-uid': COUNTS,
      '--zpci-fid': COUNTS,
      '--device': [
        ...['', 'pci-testdev', '{', '[]', 'null', '1', '"x"', '{"driver":1e999}'],
        ...['[1]', '["edu"]', '[[]]', '[null]', `[${DEVICE},7]`, `[${DEVICE},[${DEVICE}]]`],
      ],
      '--id': ['', '0', '-a', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(129)],
      ...POLICY_OPTIONS,
      ...VM_OPTIONS,
    },
    wholes: [
      [],
      ['VM'],
      ['VM', '--policy', 'all'],
      ['VM', '--partial'],
      ['VM', 'gpu', '--policy', 'all'],
      ['VM', '/sys/class/net/eth*'],
      ['VM', '/sys/class/../net/eth0'],
      ['VM', '{"match":{"id":"10de:*"},"policy":"all"}', '--port', 'rp0'],
      ['VM', '0000:3b:00.0', '--policy', 'all', '--port', 'rp0'],
      ['VM', '0000:3b:00.0', '--partial', '--zpci-uid', '1'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--policy', 'all'],
      ['VM', '0000:3b:00.0', '--spread', 'numa', '--pack', 'numa'],
      ['VM', '0000:3b:00.0', 'surplus'],
      ['VM', 'gpu'],
      ['VM', '../0000:3b:00.0'],
      ['VM', '0000:3b:00.0', '--id', 'dev0'],
      ['VM', '0000:3b:00.0', '--device', DEVICE, '--id', 'dev0'],
      ['VM', '--device', DEVICE],
      ['VM', '--id', 'dev0'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--members', 'slot'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--id', 'dev1'],
      ['VM', '0000:3b:00.0', '--force'],
      ['VM', '0000:3b:00.0', '--no-iommufd', '--pass-fds'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--iommufd'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--no-iommufd'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--pass-fds'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--driver', 'auto'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--vf-token', TOKEN],
      ['VM', '0000:3b:00.0', '--vf-token', TOKEN, '--vf-token', TOKEN],
      ['VM', '0000:3b:00.0', '--driver', 'auto', '--driver', 'keep'],
      ['VM', 'class:gpu', '--policy', 'all', '--no-iommufd', '--pass-fds'],
      ['vm', '0000:3b:00.0'],
      ['', '0000:3b:00.0'],
      ['ftp://host', '0000:3b:00.0'],
      ['tcp:host', '0000:3b:00.0'],
    ],
  },
  detach: {
    good: ['VM', 'dev0'],
    bad: { '--allow': REASONS, ...VM_OPTIONS },
    wholes: [
      [],
      ['VM'],
      ['VM', 'dev0', 'dev1'],
      ['VM', 'dev0', '--wait'],
      ['vm', 'dev0'],
      ['VM', 'dev0', '--timeout', '1', '--timeout', '2'],
    ],
  },
  status: { good: ['VM'], bad: VM_OPTIONS, wholes: [[], ['VM', 'surplus'], ['vm']] },
  topology: {
    good: ['VM'],
    bad: { '--format': ['', 'dot', 'JSON'], ...VM_OPTIONS },
    wholes: [[], ['VM', 'surplus'], ['vm'], ['VM', '--format', 'tree', '--json']],
  },
  devices: {
    good: [],
    bad: { '--policy-file': [''], '--for': OWNERS, '--driver': DRIVERS },
    wholes: [
      ['a', 'b'],
      ['3b:00'],
      ['--all'],
      ['--deep', 'gpu'],
      ['gpu', '--explain'],
      ...SELECTORS.map((selector) => [selector]),
    ],
  },
  record: {
    good: ['VM'],
    bad: {
      '--listen': SOCKETS,
      '--output': OUTPUTS,
      '--scenario': [''],
    },
    wholes: [
      [],
      ['VM'],
      ['vm', '--listen', 'x.sock'],
      ...SOCKETS.map((socket) => ['VM', '--listen', socket]),
      ['VM', 'VM', '--listen', 'x.sock'],
      ['VM', '--listen', 'x.sock', '--listen', 'y.sock'],
    ],
  },
  replay: {
    good: [TRANSCRIPT],
    bad: { '--listen': SOCKETS },
    wholes: [
      [],
      [TRANSCRIPT],
      ['/nowhere.jsonl', '--listen', 'x.sock'],
      ['/', '--listen', 'x.sock'],
      [import.meta.filename, '--listen', 'x.sock'],
      [TRANSCRIPT, 'surplus', '--listen', 'x.sock'],
      [TRANSCRIPT, '--listen', 'x.sock', '--timing', '5'],
    ],
  },
  transcript: {
    good: ['import', REPLIES],
    bad: {
      '--format': ['', 'json', 'LINES'],
      '--output': OUTPUTS,
      '--commands': ['', '/nowhere.jsonl', TRANSCRIPT],
      '--qemu': ['', '7', 'v7.2', '7.2.22-rc1', '7.2.22.1', '-7.2'],
      '--machine': [''],
      '--scenario': [''],
    },
    wholes: [
      [],
      ['check'],
      ['show'],
      ['frob', TRANSCRIPT],
      ['show', TRANSCRIPT, TRANSCRIPT],
      ['import', TRANSCRIPT, TRANSCRIPT],
      ['import', TRANSCRIPT],
      ['import', import.meta.filename],
      ['show', import.meta.filename],
      ['show', '/nowhere.jsonl'],
      ['check', '/nowhere.jsonl'],
      ['show', '/'],
      ['check', TRANSCRIPT, '--qemu', '7.2'],
      ['show', TRANSCRIPT, '--output', 'x.jsonl'],
    ],
  },
  simulate: {
    good: [],
    bad: {
      '--listen': SOCKETS,
      '--qemu': ['', '7', '9.0', '7.2.22'],
      '--machine': ['', 'pc', 'virt'],
      '--ports': [...COUNTS, '30', '999999999'],
      '--hotplug': ['', 'shpc', 'ACPI'],
      '--guest': ['', 'windows', 'Linux'],
      '--window': SIZES,
      '--memory': SIZES,
      '--seed': [''],
    },
    wholes: [
      [],
      ['--ports', '2'],
      ['surplus', '--listen', 'x.sock'],
      ['--listen', 'x.sock', '--ports', '30'],
      ['--listen', 'x.sock', '--ports', '2', '--ports', '3'],
    ],
  },
  events: {
    good: ['VM'],
    bad: { ...VM_OPTIONS, '--interval': TIMEOUTS },
    wholes: [[], ['VM', 'surplus'], ['vm'], ['tcp:x:0']],
  },
  'host resolve': {
    good: ['0000:3b:00.0'],
    bad: { ...CHOICE_OPTIONS, '--pin': ['', import.meta.filename], '--format': ['', 'xml'] },
    wholes: [...BAD_CHOICES, ['0000:3b:00.0', '--ttl', '1h']],
  },
  'host pin': {
    good: ['0000:3b:00.0', '--output', 'gpu.pin'],
    bad: { '--output': OUTPUTS, ...CHOICE_OPTIONS },
    wholes: [...BAD_CHOICES.map((args) => [...args, '-o', 'gpu.pin']), ['0000:3b:00.0']],
  },
  'host reserve': {
    good: ['0000:3b:00.0', '--for', 'a'],
    bad: {
      ...CHOICE_OPTIONS,
      '--wait': TIMEOUTS,
      '--ttl': ['', '1', '0s', '-1s', '1.5h', '1w', '1 h', '1h30m', '1234567s'],
    },
    wholes: [...BAD_CHOICES.map((args) => [...args, '--for', 'a']), ['0000:3b:00.0']],
  },
  'host unreserve': {
    good: [],
    bad: { '--for': OWNERS },
    wholes: [[], ['a'], ['--for', 'a', 'b'], ['--for', 'a', '--for', 'b'], ['--all']],
  },
  'host reservations': { good: [], bad: {}, wholes: [['surplus'], ['--for', 'a']] },
  'host snapshot': {
    good: ['snapshot.tar'],
    bad: {},
    wholes: [
      [],
      ['VM'],
      ...OUTPUTS.map((file) => [file]),
      ['snapshot.tar', 'surplus'],
      ['snapshot.tar', '--scrub', '0'],
    ],
  },
  'host plan': { good: [DESIRED], bad: SETUP_OPTIONS, wholes: badDesired() },
  'host apply': {
    good: [DESIRED],
    bad: { '--plan': [''], ...SETUP_OPTIONS },
    wholes: [...badDesired(), [DESIRED, '--diff']],
  },
  'host verify': { good: [DESIRED], bad: SETUP_OPTIONS, wholes: [...badDesired(), ['--diff']] },
  'host rollback': {
    good: [],
    bad: { '--force-item': [''], ...SETUP_OPTIONS },
    wholes: [['surplus'], ['--force']],
  },
  'host adopt': {
    good: [DESIRED, 'iommu=pt'],
    bad: SETUP_OPTIONS,
    wholes: [[DESIRED], [DESIRED, ''], ...badDesired('iommu=pt')],
  },
  'host bind': {
    good: ['0000:3b:00.0'],
    bad: {
      '--driver': DRIVERS,
      '--members': ['', 'all'],
      '--allow': REASONS,
      '--timeout': TIMEOUTS,
      ...TAKING_OPTIONS,
    },
    wholes: [[], ['gpu'], ['0000:3b:00.0', '../x'], ['0000:3b:00.0', '--force']],
  },
  'host release': {
    good: ['0000:3b:00.0'],
    bad: { '--members': ['', 'all'], '--timeout': TIMEOUTS },
    wholes: [[], ['gpu'], ['0000:3b:00.0', 'gpu'], ['0000:3b:00.0', '--force']],
  },
  'host vfs': {
    good: ['0000:5e:00.0', '2'],
    bad: {
      ...TAKING_OPTIONS,
      '--allow': REASONS,
      '--timeout': TIMEOUTS,
      '--mac': [
        '',
        '0',
        '0=',
        '=x',
        '0=01:00:5e:00:00:01',
        '0=00:00:00:00:00:00',
        '0=52:54:00:12:34',
        '-1=x',
      ],
      '--vlan': ['', '0', '0=', '0=4095', '0=-1', '0=1.5', 'x=1'],
      '--trust': ['', '0', '0=yes', '0=ON', 'on'],
      '--spoofchk': ['', '0', '0=1', '0=Off', 'off'],
    },
    wholes: [
      [],
      ['0000:5e:00.0'],
      ['gpu', '2'],
      ['0000:5e:00.0', '2', '--vlan', '2=1'],
      ['0000:5e:00.0', '0', '--vlan', '0=1'],
      ['0000:5e:00.0', '2', '--vlan', '0=1', '--vlan', '0=2'],
      ...COUNTS.map((bad) => ['0000:5e:00.0', bad]),
    ],
  },
  'host mdev list': { good: [], bad: {}, wholes: [['surplus'], ['--all']] },
  'host mdev create': {
    good: ['mtty', 'mtty-2'],
    bad: { '--uuid': ['', 'x', '83b8f4f2'], '--vm': [''], '--name': [''], ...TAKING_OPTIONS },
    wholes: [
      [],
      ['mtty'],
      ['../mtty', 'mtty-2', '--vm', 'a', '--name', 'b'],
      ['mtty', '../x', '--vm', 'a', '--name', 'b'],
      ['mtty', 'mtty-2', '--vm', 'a'],
      ['mtty', 'mtty-2', '--uuid', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', '--name', 'b'],
    ],
  },
  'host mdev remove': {
    good: ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
    bad: {},
    wholes: [[], ['gpu'], ['../x'], ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', 'surplus']],
  },
  'host quarantine list': { good: [], bad: {}, wholes: [['surplus'], ['--all']] },
  'host quarantine release': {
    good: ['0000:3b:00.0'],
    bad: {},
    wholes: [[], ['gpu'], ['../../etc/passwd'], ['0000:3b:00.0', '0000:3b:00.1']],
  },
  doctor: {
    good: [],
    bad: {
      '--device': ['', 'gpu', '3b:00', '0000:3b:20.0', '../../etc'],
      '--vm': ['', 'vm', 'tcp:x:0', 'ws://me:secret@localhost/'],
      '--only': ['', 'frobnicate', 'iommu.frobnicate', '[', 'iommu.[', '../x'],
      '--skip': ['', 'frobnicate', ']', '\\'],
      '--profile': ['', 'Static', 'cold'],
      '--wanted': ['', '/nonexistent.json', '/etc/hostname'],
      ...VM_OPTIONS,
    },
    wholes: [
      ['surplus'],
      ['--timeout', '1'],
      ['--qemu-pid', '1'],
      ['--profile', 'static', '--profile', 'hotplug'],
      ['--vm', 'VM', '--only', 'frobnicate'],
      ['--vm', 'VM', '--device', 'gpu'],
    ],
  },
  recover: { good: ['VM'], bad: VM_OPTIONS, wholes: [['VM', 'surplus'], ['vm'], ['tcp:x:0']] },
};

/** Options without a value: there is no bad text for them. */
export const FLAGS = [
  '--json',
  '--dry-run',
  '--iommufd',
  '--no-iommufd',
  '--pass-fds',
  '--no-wait',
  '--once',
  '--show-secrets',
  '--timing',
  '--paused',
  '--reconnect',
  '--strict',
  '--all',
  '--explain',
  '--deep',
  '--follow',
  '--partial',
  '--yes-all',
  '--no-scrub',
  '--uses',
  '--diff',
];
