import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as doctor from '../../src/doctor/index.js';
import * as setup from '../../src/host/setup/index.js';
import * as main from '../../src/index.js';
import { systemClock } from '../../src/clock.js';
import { QmplugError } from '../../src/errors.js';
import * as qmp from '../../src/qmp/index.js';
import * as testing from '../../src/testing.js';
import { readySession, type ReadySession } from '../qmp/memory-peer.js';
import { ACCELERATOR, createHostWorld, openSimulatedVm, runTask } from '../hotplug/simulated.js';
import { createMemoryStore } from '../support/memory-store.js';
import { createProcessTable } from '../support/owners.js';
import { callablesOf, everyExport } from './every-export.js';

type Attempt = () => unknown;
/** Bad input by title; each is refused with one of our errors, or answered with `false`. */
type Rows = Readonly<Record<string, Attempt>>;

/** Whatever its types allow is good: there is nothing to refuse. */
const TAKES_ALL = 'takes whatever its types allow';
/** Moves within something that was refused or checked when it was made. */
const HANDLE = 'a handle that was made by something in this table';

let ready: ReadySession;
beforeAll(async () => {
  ready = await readySession();
});
afterAll(() => ready.session.close());
const session = () => ready.session;

const anything = <T>(value: unknown) => value as T;
const host: main.HostSnapshot = {
  ...anything<main.HostSnapshot>({}),
  devices: new Map(),
  groups: new Map(),
};
const boot = (change: Partial<main.BootRequest>) => () =>
  main.planBoot({
    machine: 'q35',
    rootPorts: 2,
    firmware: 'seabios',
    memoryBytes: 1n << 30n,
    ...change,
  });
const EDU = { driver: 'edu' };
/** Of 128 GiB windows one takes a port's whole. */
const TOO_LARGE = { driver: 'pci-testdev', membar: 2 ** 37 };
const onVm = (work: (vm: main.Vm) => Promise<unknown>) => async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  const before = world.snapshot();
  const process = world.startController();
  try {
    await runTask(world, process, async () => {
      await using vm = await openSimulatedVm(process);
      await work(vm);
    });
  } finally {
    expect(world.snapshot()).toBe(before);
    expect(world.vm().machine.devices.every(({ hotplugged }) => !hotplugged)).toBe(true);
  }
};
const environment = main.createEnvironment({ stateDir: '/nonexistent', runDir: '/nonexistent' });

const control = new main.HostControl(environment);
const mdevs = new main.MdevControl(environment);
const holds = new main.Holds({
  store: environment.runtime,
  liveness: environment.liveness,
  clock: environment.clock,
});
const GPU = '0000:3b:00.0';
const MDEV = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const PIN = { qmplugPin: 1, selector: GPU, selectorHash: '', time: '', devices: [] };
const group = [{ key: 'group-1', devices: [GPU] }];
/** Of nothing, so that only the options can be wrong. */
const nothingChosen = { ...anything<main.Resolution>({}), chosen: [], companions: [] };

/** For nothing, in a place of its own: what is not the caller's fault must not show. */
const waitFor = (wrong: Partial<main.ReserveWish>) => {
  const store = createMemoryStore();
  const clock = systemClock;
  const liveness = createProcessTable().liveness(1);
  const wish = { request: main.parseRequest(GPU, {}), owner: 'a', ttlMs: undefined, waitMs: 0 };
  return main.reserveWhenFree(
    async () => ({ resolution: nothingChosen, tenant: undefined }),
    { ...wish, ...wrong },
    { store, clock, liveness, holds: new main.Holds({ store, clock, liveness }) },
  );
};

const VM_WAITS = { timeoutMs: -1 };
const BAD_ID = { requestId: 'a\nb' };

const MAIN: Readonly<Record<string, Rows | string>> = {
  bootPlanToJson: TAKES_ALL,
  claimOn: TAKES_ALL,
  compareBdf: { 'no addresses': () => main.compareBdf(anything('x'), anything('y')) },
  createEnvironment: {
    'a state directory of no name': () => main.createEnvironment({ stateDir: '' }),
    'a relative state directory': () => main.createEnvironment({ stateDir: 'state' }),
    'a relative run directory': () => main.createEnvironment({ runDir: './run' }),
    'NUL in a directory': () => main.createEnvironment({ stateDir: '/run/\0' }),
  },
  escapeControl: TAKES_ALL,
  findCulprits: TAKES_ALL,
  formatGuestPath: TAKES_ALL,
  formatSize: TAKES_ALL,
  isDeviceId: { digits: () => main.isDeviceId('0'), 'a slash': () => main.isDeviceId('a/b') },
  isJsonObject: { null: () => main.isJsonObject(null), 'a list': () => main.isJsonObject([]) },
  openVm: {
    'no address': () => main.openVm('', { environment }),
    'a name': () => main.openVm('vm', { environment }),
    'another protocol': () => main.openVm('ftp://host', { environment }),
    'no port': () => main.openVm('tcp:host', { environment }),
    'an open quote': () => main.openVm("exec:sh 'x", { environment }),
    'a socket that is not there': () => main.openVm('/nonexistent/vm.sock', { environment }),
  },
  parseJson: {
    nothing: () => main.parseJson(''),
    'half an object': () => main.parseJson('{'),
    'two values': () => main.parseJson('1 2'),
  },
  parseSelector: {
    nothing: () => main.parseSelector(''),
    'a path': () => main.parseSelector('../../etc'),
    'function 8': () => main.parseSelector('0000:3b:00.8'),
  },
  parseSize: { nothing: () => main.parseSize(''), 'a fraction': () => main.parseSize('1.5G') },
  planBinding: {
    'a path': () => main.planBinding(environment.effects, anything('../../etc')),
    'no function': () => main.planBinding(environment.effects, anything('0000:3b:00')),
    'another driver': () =>
      main.planBinding(environment.effects, anything(GPU), anything('nvidia')),
  },
  planBoot: {
    'no ports': boot({ rootPorts: 0 }),
    'half a port': boot({ rootPorts: 1.5 }),
    'NaN ports': boot({ rootPorts: NaN }),
    'another machine': boot({ machine: 'q35,accel=tcg' }),
    'no RAM': boot({ memoryBytes: 0n }),
    'a negative window': boot({ windowBytes: -1n }),
    'a window that does not fit': boot({ windowBytes: 1n << 50n }),
    '31 address bits': boot({ physBits: 31 }),
  },
  portNeeds: {
    'a device that is not there': () => main.portNeeds(host, anything(ACCELERATOR), 'group'),
  },
  portToJson: TAKES_ALL,
  readHostSnapshot: TAKES_ALL,
  recoverHost: TAKES_ALL,
  renderTopology: TAKES_ALL,
  selectDevice: {
    'no selector': () => main.selectDevice(main.createEnvironment(), 'gpu'),
    'a device that is not there': () => main.selectDevice(main.createEnvironment(), 'ffff:ff:1f.7'),
  },
  stringifyJson: {
    NaN: () => main.stringifyJson(NaN),
    'a function': () => main.stringifyJson(anything(() => 1)),
  },
  createFileStore: TAKES_ALL,
  createHostEffects: TAKES_ALL,
  resolveSelector: HANDLE,
  deviceOf: TAKES_ALL,
  guestAddressOf: TAKES_ALL,
  changesBetween: TAKES_ALL,
  watchVm: HANDLE,
  'Vm.onEvent': TAKES_ALL,
  'Vm.sessionEnd': TAKES_ALL,
  topologyOf: TAKES_ALL,
  topologyToJson: TAKES_ALL,
  'Holds.list': TAKES_ALL,
  'Holds.take': {
    'no owner': () => holds.take(group, '', undefined),
    'an owner with a blank': () => holds.take(group, 'a b', undefined),
    'a key that leads elsewhere': () => holds.take([{ key: '../x', devices: [] }], 'a', undefined),
    'no key': () => holds.take([{ key: '', devices: [] }], 'a', undefined),
    'no time': () => holds.take(group, 'a', 0),
    'a time of NaN': () => holds.take(group, 'a', NaN),
    'a negative time': () => holds.take(group, 'a', -1),
    'endless time': () => holds.take(group, 'a', Infinity),
  },
  'Holds.release': {
    'no owner': () => holds.release(''),
    'a path for an owner': () => holds.release('../a'),
  },
  isHoldOwner: {
    nothing: () => main.isHoldOwner(''),
    'a slash': () => main.isHoldOwner('a/b'),
    '65 letters': () => main.isHoldOwner('x'.repeat(65)),
  },
  reserveDevices: {
    'no owner': () => main.reserveDevices(holds, nothingChosen, { owner: '', ttlMs: undefined }),
    'a time of NaN': () => main.reserveDevices(holds, nothingChosen, { owner: 'a', ttlMs: NaN }),
  },
  reserveWhenFree: {
    'no owner': () => waitFor({ owner: '' }),
    'a hold of NaN': () => waitFor({ ttlMs: NaN }),
    'a negative wait': () => waitFor({ waitMs: -1 }),
    'a wait of NaN': () => waitFor({ waitMs: NaN }),
    'an endless wait': () => waitFor({ waitMs: Infinity }),
  },
  explainSelector: HANDLE,
  formatPin: TAKES_ALL,
  formatShort: TAKES_ALL,
  formatStructured: TAKES_ALL,
  isMdevUuid: {
    nothing: () => main.isMdevUuid(''),
    'an address': () => main.isMdevUuid(GPU),
    'braces around it': () => main.isMdevUuid(`{${MDEV}}`),
    'a line after it': () => main.isMdevUuid(`${MDEV}\n`),
  },
  isUnicastMac: {
    nothing: () => main.isUnicastMac(''),
    'the address of a group': () => main.isUnicastMac('01:00:5e:00:00:01'),
    'a line after it': () => main.isUnicastMac('52:54:00:12:34:56\n'),
  },
  parsePin: {
    nothing: () => main.parsePin('', 'x.pin'),
    'a list': () => main.parsePin('[]', 'x.pin'),
    'another version': () => main.parsePin(JSON.stringify({ ...PIN, qmplugPin: 2 }), 'x.pin'),
    'no devices': () => main.parsePin(JSON.stringify(PIN), 'x.pin'),
    'a device without address': () =>
      main.parsePin(JSON.stringify({ ...PIN, devices: [{ members: [] }] }), 'x.pin'),
  },
  parseRequest: {
    nothing: () => main.parseRequest('', {}),
    'a policy that nobody knows': () => main.parseRequest(GPU, { policy: 'two' }),
    'a policy of none': () => main.parseRequest(GPU, { policy: 'first:0' }),
    'a field that nobody knows': () => main.parseRequest(GPU, { same: ['frobnicate'] }),
    'both spread and pack': () => main.parseRequest(GPU, { spread: 'numa', pack: 'numa' }),
    'an option that nobody knows': () => main.parseRequest(GPU, anything({ frobnicate: 1 })),
    'another mode of NUMA': () => main.parseRequest(GPU, { numa: anything('strict') }),
    'an alternative that is none': () => main.parseRequest(GPU, { orElse: ['gpu:'] }),
  },
  pinDevice: HANDLE,
  profileOfArgument: {
    nothing: () => main.profileOfArgument(''),
    'a machine without PCI': () => main.profileOfArgument('isapc'),
    'options behind the type': () => main.profileOfArgument('q35,accel=tcg'),
  },
  readCandidates: TAKES_ALL,
  readPciNames: {
    'a relative path': () => main.readPciNames(environment.effects, ['pci.ids']),
    'a path that leads up': () => main.readPciNames(environment.effects, ['/usr/../pci.ids']),
    'a directory': () => main.readPciNames(environment.effects, ['/']),
  },
  readPolicyFile: {
    'a file that is not there': () => main.readPolicyFile(environment.effects, '/nonexistent'),
    'a relative path': () => main.readPolicyFile(environment.effects, 'policy'),
    'a directory': () => main.readPolicyFile(environment.effects, '/'),
  },
  recordReads: TAKES_ALL,
  rememberReads: TAKES_ALL,
  rootOf: TAKES_ALL,
  rulesFor: TAKES_ALL,
  scrubReads: TAKES_ALL,
  topologyPathOf: TAKES_ALL,
  'HostControl.planBind': {
    'no devices': () => control.planBind({ devices: [] }),
    'no device': () => control.planBind({ devices: [GPU, 'gpu'] }),
    'a device that is not there': () => control.planBind({ devices: ['ffff:ff:1f.7'] }),
    'another driver': () => control.planBind({ devices: [GPU], driver: anything('nvidia') }),
  },
  'HostControl.bind': {
    'no devices': () => control.bind({ devices: [] }),
    'no device': () => control.bind({ devices: ['../x'] }),
    'another driver': () => control.bind({ devices: [GPU], driver: anything('') }),
    'a negative timeout': () => control.bind({ devices: [GPU] }, VM_WAITS),
    'a timeout of NaN': () => control.bind({ devices: [GPU] }, { timeoutMs: NaN }),
  },
  'HostControl.planRelease': {
    'no devices': () => control.planRelease({ devices: [] }),
    'a device that is not there': () => control.planRelease({ devices: ['ffff:ff:1f.7'] }),
  },
  'HostControl.release': {
    'no device': () => control.release({ devices: ['gpu'] }),
    'an id of two lines': () => control.release({ devices: [GPU] }, BAD_ID),
    'a negative timeout': () => control.release({ devices: [GPU] }, VM_WAITS),
  },
  'HostControl.planVfs': {
    'no function': () => control.planVfs({ pf: 'gpu', count: 1 }),
    'half a function': () => control.planVfs({ pf: GPU, count: 1.5 }),
    'a function that is not there': () => control.planVfs({ pf: 'ffff:ff:1f.7', count: 1 }),
  },
  'HostControl.setVfs': {
    'a negative number': () => control.setVfs({ pf: GPU, count: -1 }),
    'NaN functions': () => control.setVfs({ pf: GPU, count: NaN }),
    'a negative timeout': () => control.setVfs({ pf: GPU, count: 1 }, VM_WAITS),
  },
  'MdevControl.list': TAKES_ALL,
  'MdevControl.create': {
    'no parent': () => mdevs.create({ parent: '', type: 'mtty-2' }),
    'a parent that leads elsewhere': () => mdevs.create({ parent: '../mtty', type: 'mtty-2' }),
    'a type that leads elsewhere': () => mdevs.create({ parent: 'mtty', type: '../x' }),
    'no UUID': () => mdevs.create({ parent: 'mtty', type: 'mtty-2', identity: { uuid: 'x' } }),
    'a negative timeout': () => mdevs.create({ parent: 'mtty', type: 'mtty-2' }, VM_WAITS),
  },
  'MdevControl.remove': {
    'neither UUID nor address': () => mdevs.remove('gpu'),
    'a negative timeout': () => mdevs.remove(MDEV, VM_WAITS),
  },
  listQuarantine: TAKES_ALL,
  releaseFromQuarantine: {
    'no address': () => main.releaseFromQuarantine(environment, 'gpu'),
    'a path': () => main.releaseFromQuarantine(environment, '../x'),
    'an id of two lines': () => main.releaseFromQuarantine(environment, GPU, BAD_ID),
    'a negative timeout': () => main.releaseFromQuarantine(environment, GPU, VM_WAITS),
  },
  'Vm.planAttach': {
    'no device': onVm((vm) => vm.planAttach({ device: 'gpu' })),
    'a device that is not there': onVm((vm) => vm.planAttach({ device: '0000:99:00.0' })),
    'a driver to keep that is none of VFIO': onVm((vm) =>
      vm.planAttach({ device: ACCELERATOR, driver: 'keep' }),
    ),
    'nine functions': onVm((vm) =>
      vm.planAttach({ emulate: Array<typeof EDU>(9).fill(EDU), id: 'd0' }),
    ),
  },
  'Vm.planAttachBatch': {
    'no device': onVm((vm) => vm.planAttachBatch({ device: 'gpu' })),
    'a policy that is none': onVm((vm) =>
      vm.planAttachBatch({ device: ACCELERATOR, choice: { policy: 'two' } }),
    ),
  },
  'Vm.attachBatch': {
    'no device': onVm((vm) => vm.attachBatch({ device: '' })),
    'a path that leads nowhere': onVm((vm) => vm.attachBatch({ device: '/sys/class/net/none' })),
    'a policy that is none': onVm((vm) =>
      vm.attachBatch({ device: ACCELERATOR, choice: { policy: 'first:0' } }),
    ),
    'a field that is none': onVm((vm) =>
      vm.attachBatch({ device: ACCELERATOR, choice: { order: ['colour'] } }),
    ),
    'a driver that is no choice': onVm((vm) =>
      vm.attachBatch({ device: ACCELERATOR, driver: anything(null) }),
    ),
    'a negative timeout': onVm((vm) => vm.attachBatch({ device: ACCELERATOR }, VM_WAITS)),
  },
  'Vm.attach': {
    'no devices': onVm((vm) => vm.attach({ device: [] })),
    'no device': onVm((vm) => vm.attach({ device: 'gpu' })),
    'a port that is not there': onVm((vm) => vm.attach({ device: ACCELERATOR, port: 'rp9' })),
    'an id that is none': onVm((vm) => vm.attach({ emulate: { driver: 'edu' }, id: 'a/b' })),
    'a driver that is no choice': onVm((vm) =>
      vm.attach({ device: ACCELERATOR, driver: anything('nvidia') }),
    ),
    'a token that is none': onVm((vm) => vm.attach({ device: ACCELERATOR, vfToken: 'x' })),
    'a token that nobody asks for': onVm((vm) => vm.attach({ device: ACCELERATOR, vfToken: MDEV })),
    'a route that is none': onVm((vm) => vm.attach({ device: ACCELERATOR, route: anything('x') })),
    'no driver': onVm((vm) => vm.attach({ emulate: {}, id: 'd0' })),
    'a driver that is not allowed': onVm((vm) =>
      vm.attach({ emulate: { driver: 'ivshmem-plain' }, id: 'd0' }),
    ),
    'a property that opens a file': onVm((vm) =>
      vm.attach({ emulate: { driver: 'edu', romfile: '/etc/shadow' }, id: 'd0' }),
    ),
    'a BAR that aborts QEMU': onVm((vm) =>
      vm.attach({ emulate: { driver: 'pci-testdev', membar: 3 << 20 }, id: 'd0' }),
    ),
    'a BAR that no port takes': onVm((vm) =>
      vm.attach({ emulate: { driver: 'pci-testdev', membar: 2 ** 45 }, id: 'd0' }),
    ),
    'a place of its own': onVm((vm) =>
      vm.attach({ emulate: { driver: 'edu', bus: 'pcie.0' }, id: 'd0' }),
    ),
    'no function': onVm((vm) => vm.attach({ emulate: [], id: 'd0' })),
    'nine functions': onVm((vm) =>
      vm.attach({ emulate: Array<typeof EDU>(9).fill(EDU), id: 'd0' }),
    ),
    'a function that is no object': onVm((vm) =>
      vm.attach({ emulate: [EDU, anything<typeof EDU>('edu')], id: 'd0' }),
    ),
    'a function without a driver': onVm((vm) => vm.attach({ emulate: [EDU, {}], id: 'd0' })),
    'a function with a place of its own': onVm((vm) =>
      vm.attach({ emulate: [EDU, { ...EDU, addr: '0x0.3' }], id: 'd0' }),
    ),
    'a function that is not on PCI': onVm((vm) =>
      vm.attach({ emulate: [EDU, { driver: 'virtio-rng-ccw' }], id: 'd0' }),
    ),
    'a function of the host': onVm((vm) =>
      vm.attach({ emulate: [EDU, { driver: 'vfio-pci', host: '0000:05:00.0' }], id: 'd0' }),
    ),
    'a function that opens a file': onVm((vm) =>
      vm.attach({ emulate: [EDU, { ...EDU, romfile: '/etc/shadow' }], id: 'd0' }),
    ),
    'a function that says whether there are more': onVm((vm) =>
      vm.attach({ emulate: [{ ...EDU, multifunction: false }, EDU], id: 'd0' }),
    ),
    'an id that leaves no room for the functions': onVm((vm) =>
      vm.attach({ emulate: [EDU, EDU], id: 'd'.repeat(127) }),
    ),
    'functions that no port takes together': onVm((vm) =>
      vm.attach({ emulate: [TOO_LARGE, TOO_LARGE], id: 'd0' }),
    ),
    'numbers that are those of one function': onVm((vm) =>
      vm.attach({ emulate: [EDU, EDU], id: 'd0', zpci: { uid: 1, fid: 1 } }),
    ),
    'a negative timeout': onVm((vm) => vm.attach({ device: ACCELERATOR }, VM_WAITS)),
    'a timeout of NaN': onVm((vm) => vm.attach({ device: ACCELERATOR }, { timeoutMs: NaN })),
    'an id of two lines': onVm((vm) => vm.attach({ device: ACCELERATOR }, BAD_ID)),
  },
  'Vm.planDetach': { 'neither id nor device': onVm((vm) => vm.planDetach('a/b')) },
  'Vm.detach': {
    nothing: onVm((vm) => vm.detach('')),
    'neither id nor device': onVm((vm) => vm.detach('a/b')),
    'a port': onVm((vm) => vm.detach('rp0')),
    'a negative timeout': onVm((vm) => vm.detach('d0', VM_WAITS)),
    'an id of two lines': onVm((vm) => vm.detach('d0', BAD_ID)),
  },
  'Vm.status': { 'a negative timeout': onVm((vm) => vm.status(VM_WAITS)) },
  'Vm.inspect': TAKES_ALL,
  'Vm.snapshot': TAKES_ALL,
  'Vm.recover': {
    'a negative timeout': onVm((vm) => vm.recover(VM_WAITS)),
    'an id of two lines': onVm((vm) => vm.recover(BAD_ID)),
  },
  'Vm.onDeparture': TAKES_ALL,
  'Vm.close': TAKES_ALL,
};

const testdev = { driver: 'pci-testdev', id: 'd0', bus: 'rp0', addr: '0x0' };

const QMP: Readonly<Record<string, Rows | string>> = {
  checkCommand: {
    'a command that is not allowed': () => qmp.checkCommand('quit', undefined),
    'an argument too many': () => qmp.checkCommand('query-pci', { x: 1 }),
  },
  checkDeviceAdd: {
    'a number for addr': () => qmp.checkDeviceAdd({ ...testdev, addr: anything(0) }),
    'no bus': () => qmp.checkDeviceAdd(anything({ driver: 'edu', id: 'd0', addr: '0x0' })),
  },
  childType: TAKES_ALL,
  classifyFailure: TAKES_ALL,
  closeFd: { 'a digit first': () => qmp.closeFd(session(), '1fd') },
  getFd: {
    'a digit first': () => qmp.getFd(session(), '1fd', { fd: 0 }),
    'a transport that carries none': () => qmp.getFd(session(), 'fd', { fd: 0 }),
  },
  connectQmp: { 'no address': () => qmp.connectQmp('') },
  connectTransport: {
    'no port': () => qmp.connectTransport(anything({ kind: 'tcp', host: 'x', port: -1 })),
  },
  cont: TAKES_ALL,
  deviceAdd: {
    'an id with a slash': () => qmp.deviceAdd(session(), { ...testdev, id: 'a/b' }),
    'a driver that is not allowed': () => qmp.deviceAdd(session(), { ...testdev, driver: 'x' }),
  },
  deviceDel: { 'no id': () => qmp.deviceDel(session(), '') },
  deviceListProperties: {
    'a type with a newline': () => qmp.deviceListProperties(session(), 'a\nb'),
  },
  formatAddress: TAKES_ALL,
  isAllowedCommand: { quit: () => qmp.isAllowedCommand('quit') },
  isDeviceId: { nothing: () => qmp.isDeviceId('') },
  objectAddIommufd: { 'an id with a blank': () => qmp.objectAddIommufd(session(), { id: 'a b' }) },
  objectDel: { 'no id': () => qmp.objectDel(session(), '') },
  openSession: TAKES_ALL,
  openWindow: TAKES_ALL,
  parseAddress: {
    nothing: () => qmp.parseAddress(''),
    'port 0': () => qmp.parseAddress('tcp:x:0'),
  },
  parseJson: { 'half a text': () => qmp.parseJson('"') },
  qomGet: { 'a bare name': () => qmp.qomGet(session(), 'rp0', 'addr') },
  qomGetBoolean: { 'a bare name': () => qmp.qomGetBoolean(session(), 'rp0', 'hotplug') },
  qomGetDevfn: { 'a bare name': () => qmp.qomGetDevfn(session(), 'rp0') },
  qomGetString: { 'a bare name': () => qmp.qomGetString(session(), 'rp0', 'type') },
  qomGetUint64: { 'a bare name': () => qmp.qomGetUint64(session(), 'rp0', 'mem-reserve') },
  qomList: { 'a bare name': () => qmp.qomList(session(), 'rp0') },
  qomListGet: { 'a bare name': () => qmp.qomListGet(session(), ['rp0']) },
  qomListProperties: { 'a newline': () => qmp.qomListProperties(session(), 'a\nb') },
  queryCommands: TAKES_ALL,
  queryMachines: TAKES_ALL,
  queryMemorySizeSummary: TAKES_ALL,
  queryMigrate: TAKES_ALL,
  queryName: TAKES_ALL,
  queryPci: TAKES_ALL,
  queryQmpSchema: TAKES_ALL,
  queryStatus: TAKES_ALL,
  queryTarget: TAKES_ALL,
  queryUuid: TAKES_ALL,
  queryVersion: TAKES_ALL,
  relay: HANDLE,
  listenUnix: { 'a tcp address': () => qmp.listenUnix('tcp:localhost:1') },
  socketPath: { nothing: () => qmp.socketPath(''), tcp: () => qmp.socketPath('tcp:localhost:1') },
  readMessage: {
    'no JSON': () => qmp.readMessage('x'),
    'a list': () => qmp.readMessage('[]'),
  },
  readPciTree: HANDLE,
  stop: TAKES_ALL,
  stringifyJson: { infinity: () => qmp.stringifyJson(Infinity) },
  systemReset: TAKES_ALL,
  writeRequest: TAKES_ALL,
  'QmpClient.execute': {
    'a command that is not allowed': () => session().execute('quit'),
    'an argument of another type': () => session().execute('device_del', { id: 1 }),
  },
  'QmpClient.close': TAKES_ALL,
  'QmpClient.onEvent': TAKES_ALL,
  'QmpClient.fileObstacle': TAKES_ALL,
};

const header = '{"qmplug":1,"qemu":"7.2.22","machine":"q35","scenario":"x","origin":"recorded"}\n';
/** Settings of a simulated world are the test's own; what QEMU would refuse is an Error that says so. */
const SETTINGS = 'makes a simulated part out of settings that its types describe';

const TESTING: Readonly<Record<string, Rows | string>> = {
  argumentsOf: SETTINGS,
  audioFunction: SETTINGS,
  compareTranscripts: TAKES_ALL,
  configFromArguments: SETTINGS,
  createPlayer: TAKES_ALL,
  createWorld: SETTINGS,
  diffMessages: TAKES_ALL,
  diffValues: TAKES_ALL,
  formatDifferences: TAKES_ALL,
  formatEntry: TAKES_ALL,
  formatHeader: TAKES_ALL,
  formatTranscript: TAKES_ALL,
  gpuFunction: SETTINGS,
  nicFunction: SETTINGS,
  nvmeFunction: SETTINGS,
  parseTranscript: {
    nothing: () => testing.parseTranscript(''),
    'no header': () => testing.parseTranscript('{"t":0,"dir":"in","msg":{}}\n'),
    'another direction': () => testing.parseTranscript(`${header}{"t":0,"dir":"up","msg":{}}\n`),
    'time that runs backwards': () =>
      testing.parseTranscript(
        `${header}{"t":5,"dir":"in","msg":{"event":"STOP"}}\n{"t":-1,"dir":"in","msg":{"event":"STOP"}}\n`,
      ),
    'half a line': () => testing.parseTranscript(`${header}{"t":0,`),
  },
  serveSimulated: SETTINGS,
  checkTranscript: TAKES_ALL,
  importLog: {
    'an empty log': () => testing.importLog('', anything({ source: 'x.log', scenario: 'x' })),
  },
  machineName: TAKES_ALL,
  recordSessions: HANDLE,
  replaySessions: HANDLE,
  createMask: TAKES_ALL,
  renderTranscript: TAKES_ALL,
  splitSessions: TAKES_ALL,
  portFunction: SETTINGS,
  recordTransport: TAKES_ALL,
  rootPorts: SETTINGS,
  simulateQemu: SETTINGS,
  simulatedEffects: SETTINGS,
  snapshotKernel: TAKES_ALL,
};

const DOCTOR: Readonly<Record<string, Rows | string>> = {
  compileFilter: { 'no such check': () => doctor.compileFilter({ only: ['frobnicate'] }) },
  examineDesired: {
    'no such check': () =>
      doctor.examineDesired({ ...environment, desired: {}, skip: ['frobnicate'] }),
  },
  runDoctor: {
    'no such check': () => doctor.runDoctor({ ...environment, skip: ['frobnicate'] }),
    'no selector': () => doctor.runDoctor({ ...environment, device: 'gpu' }),
  },
};

const HOST_SETUP: Readonly<Record<string, Rows | string>> = {
  parseDesiredState: {
    'no JSON': () => setup.parseDesiredState('{'),
    'a list': () => setup.parseDesiredState('[]'),
    'a member that nobody knows': () => setup.parseDesiredState('{"frobnicate":1}'),
  },
  readDesiredState: { null: () => setup.readDesiredState(null) },
  adoptItem: HANDLE,
  applyHost: HANDLE,
  planHost: HANDLE,
  rollbackHost: HANDLE,
  isRefused: TAKES_ALL,
  createSetupHost: TAKES_ALL,
};

const TABLES = {
  '.': MAIN,
  './qmp': QMP,
  './doctor': DOCTOR,
  './host-setup': HOST_SETUP,
  './testing': TESTING,
};

async function refuses(attempt: Attempt): Promise<void> {
  const sent = ready.peer.requests.length;
  let answer: unknown;
  try {
    answer = await attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(QmplugError);
    expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) as unknown });
    expect(ready.peer.requests).toHaveLength(sent);
    expect(existsSync('/nonexistent')).toBe(false);
    return;
  }
  expect(answer).toBe(false);
}

describe.each(Object.entries(TABLES))('import %j', (_, table) => {
  const rows = Object.entries(table).flatMap(([name, attempts]) =>
    typeof attempts === 'string'
      ? []
      : Object.entries(attempts).map(([title, attempt]) => [name, title, attempt] as const),
  );
  it.each(rows)('%s refuses %s', (_name, _title, attempt) => refuses(attempt));
});

it('has bad input, or the reason why there is none, for everything that can be called', async () => {
  const exported = await everyExport();
  expect([...exported.keys()].sort()).toEqual(Object.keys(TABLES).sort());
  const missing = [...exported].flatMap(([subpath, names]) => {
    const table: Readonly<Record<string, unknown>> = TABLES[subpath as keyof typeof TABLES];
    return callablesOf(names)
      .filter((name) => !(name in table) && !HANDLES.has(name.split('.')[0] ?? ''))
      .map((name) => `${subpath} ${name}`);
  });
  expect(missing).toEqual([]);
});

/** Classes whose instances are handed out by what is in the tables. */
const HANDLES: ReadonlySet<string> = new Set([
  'EventSubscription',
  'JsonFramer',
  'ControllerProcess',
  'Faults',
  'Guest',
  'Kernel',
  'Machine',
  'MemoryStore',
  'Random',
  'Trace',
  'VirtualClock',
  'VirtualMachine',
  'World',
]);
