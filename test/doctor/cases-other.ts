import type { Owner } from '../../src/engine/index.js';
import { stateFailure } from '../../src/engine/state-store.js';
import { BOOT_ID } from '../host/sysfs-tree.js';
import { createMemoryStore } from '../support/memory-store.js';
import { denied, path, type Case } from './case.js';
import { DEVICE, PID, type Change } from './patient.js';

const RUNNING = '/run/libvirt/qemu/win.xml';
const DEFINED = '/etc/libvirt/qemu/win.xml';
const hostdev = (managed: 'yes' | 'no', slot = '0x00') =>
  `<hostdev mode='subsystem' type='pci' managed='${managed}'><driver name='vfio'/><source>` +
  `<address domain='0x0000' bus='0x3b' slot='${slot}' function='0x0'/></source>` +
  `<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/></hostdev>`;
const domain = (body: string) => `<domain type='kvm'><devices>${body}</devices></domain>`;
const status = (pid: number, body: string) =>
  `<domstatus state='running' reason='booted' pid='${pid}'>${domain(body)}</domstatus>`;
const driverctl = (driver: string) => ({ [`/etc/driverctl.d/pci-${DEVICE}`]: `${driver}\n` });

const process = (pid: number): Owner => ({
  bootId: BOOT_ID,
  pid,
  startTime: '1000',
  pidNamespace: 'pid:[4026531836]',
});
const ALIVE = process(PID);
const DEAD = process(99_999);

/** An attach that bound the device for the VM of a process, in the journal. */
function attached(vm: Owner, { runner = ALIVE, ended = true, damaged = false } = {}): Change {
  const plan = {
    id: 'p1',
    kind: 'attach',
    scope: 'vm-1',
    subject: {
      kind: 'attach',
      address: '/run/vm.sock',
      vm: { kind: 'process', ...vm },
      request: { hosts: [DEVICE] },
    },
    steps: [{ kind: 'BindDriver', bdf: DEVICE, group: 17, driver: 'vfio-pci' }],
    commit: { step: 0, at: 'done' },
    snapshotHash: '',
  };
  const lines = [
    { v: 1, plan, runner },
    { step: 0, turn: 'do', state: 'intended', record: {} },
    { step: 0, turn: 'do', state: 'done' },
    ...(ended ? [{ end: 'done' }] : []),
  ].map((line) => JSON.stringify(line));
  const text = damaged ? 'what\n' : `${lines.join('\n')}\n`;
  return { request: { state: createMemoryStore(new Map([['plans/p1.jsonl', text]])) } };
}

function reserved(files: Readonly<Record<string, string>>): Change {
  const named = Object.entries(files).map(
    ([key, text]) => [`reservations/${key}.json`, text] as const,
  );
  return { request: { runtime: createMemoryStore(new Map(named)) } };
}

const forVm = ({ bootId, pid, startTime }: Owner, key = 'group-17') =>
  JSON.stringify({
    key,
    scope: `${bootId}-${pid}-${startTime}`,
    planIds: ['p1'],
    journal: '/run/qmplug',
  });

/** Other programs of the host, and what we ourselves wrote down. */
export const OTHER_CASES: Readonly<Record<string, Case>> = {
  'tools.conflict': {
    bad: { verdict: 'fail', device: { override: 'pci-stub' }, files: driverctl('vfio-pci') },
    unknown: { files: driverctl('vfio-pci'), denied: [path('driver_override')] },
    also: {
      'driverctl, which has its way': {
        verdict: 'warn',
        device: { override: 'vfio-pci' },
        files: driverctl('vfio-pci'),
      },
      'a VM whose devices libvirt manages': {
        verdict: 'warn',
        files: { [DEFINED]: domain(hostdev('yes')) },
      },
      'a VM that leaves that to others': {
        verdict: 'ok',
        files: { [DEFINED]: domain(hostdev('no')) },
      },
      'a switcher of GPUs, for a GPU': {
        verdict: 'warn',
        tree: (tree) => tree.addProcess(6000, { command: 'supergfxd' }),
      },
      'a switcher of GPUs, for a network card': {
        verdict: 'ok',
        device: { class: '0x020000' },
        tree: (tree) => tree.addProcess(6000, { command: 'supergfxd' }),
      },
      'domains that only root reads': {
        verdict: 'unknown',
        files: { [DEFINED]: domain('') },
        denied: ['/etc/libvirt/qemu'],
      },
    },
  },
  'tools.libvirt': {
    bad: { verdict: 'fail', files: { [RUNNING]: status(5555, hostdev('no')) } },
    unknown: denied('/run/libvirt/qemu'),
    also: {
      'a VM that is defined': { verdict: 'warn', files: { [DEFINED]: domain(hostdev('no')) } },
      'a VM with its neighbour': {
        verdict: 'ok',
        files: { [RUNNING]: status(5555, hostdev('no', '0x01')) },
      },
      'this very VM': {
        verdict: 'ok',
        files: { [RUNNING]: status(PID, hostdev('no')), [DEFINED]: domain(hostdev('no')) },
      },
    },
  },
  'daemon.journal': {
    ok: attached(ALIVE),
    bad: { verdict: 'fail', device: { driver: 'nouveau' }, ...attached(ALIVE) },
    unknown: { ...attached(ALIVE), denied: [path('driver')] },
    also: {
      'a VM that has ended': { verdict: 'warn', ...attached(DEAD) },
      'a plan whose runner was killed': {
        verdict: 'warn',
        ...attached(ALIVE, { runner: DEAD, ended: false }),
      },
      'a plan that is being run': { verdict: 'ok', ...attached(ALIVE, { ended: false }) },
      'a record that nobody understands': {
        verdict: 'fail',
        ...attached(ALIVE, { damaged: true }),
      },
      'no journal': { verdict: 'skip', request: { state: undefined } },
    },
  },
  'daemon.reservation': {
    ok: reserved({ 'group-17': forVm(ALIVE) }),
    bad: { verdict: 'fail', ...reserved({ 'group-17': 'what' }) },
    unknown: {
      request: {
        runtime: {
          ...createMemoryStore(),
          list: () => Promise.reject(stateFailure('/run/qmplug', 'EACCES', undefined)),
        },
      },
    },
    also: {
      'one thing twice': {
        verdict: 'fail',
        ...reserved({ 'group-17': forVm(ALIVE), 'group-18': forVm(ALIVE) }),
      },
      'a VM that has ended': { verdict: 'warn', ...reserved({ 'group-17': forVm(DEAD) }) },
      'the host itself': {
        verdict: 'ok',
        ...reserved({
          'group-17': JSON.stringify({
            key: 'group-17',
            scope: 'host',
            planIds: ['p1'],
            journal: '/run/qmplug',
          }),
        }),
      },
      'no place for them': { verdict: 'skip', request: { runtime: undefined } },
    },
  },
};
