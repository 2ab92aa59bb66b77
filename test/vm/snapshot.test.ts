import { describe, expect, it } from 'vitest';
import { TimeoutError } from '../../src/errors.js';
import { CommandError } from '../../src/qmp/failures.js';
import {
  PROFILES,
  readVmSnapshot,
  type Port,
  type VmIdentity,
  type VmSnapshot,
} from '../../src/vm/index.js';
import { FakeQom, pciBridge } from './fake-qom.js';

const PROCESS: VmIdentity = {
  kind: 'process',
  bootId: 'b',
  pid: 7,
  startTime: '9',
  pidNamespace: undefined,
};
const ROOT = '/machine/q35/pcie.0';
const PERIPHERAL = '/machine/peripheral';

const read = (vm: FakeQom) => readVmSnapshot(vm.session, PROCESS);
const only = (snapshot: VmSnapshot): Port => {
  expect(snapshot.ports).toHaveLength(1);
  return snapshot.ports[0] as Port;
};

describe('a port', () => {
  it('is told with everything on its bus, anonymous devices included', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10, { 'pref64-reserve': 4 });
    vm.link(`${PERIPHERAL}/rp0/rp0`, '/machine/peripheral-anon/device[0]', 'nvme');
    vm.plug(`${PERIPHERAL}/rp0/rp0`, 'd0');
    const snapshot = await read(vm);
    expect(only(snapshot)).toMatchObject({
      id: 'rp0',
      kind: 'root-port',
      busPath: '/machine/peripheral/rp0/rp0',
      busName: 'rp0',
      slot: 0,
      mechanism: { known: true, value: 'acpi' },
      chassis: 1,
      slotNumber: 0x10,
      path: [{ device: 2, function: 0 }],
      rootBus: { known: true, value: 0 },
      memoryReserve: undefined,
      prefetchableReserve: 4n,
      occupants: ['/machine/peripheral-anon/device[0]', '/machine/peripheral/d0'],
    });
    expect(snapshot.devices.map(({ id }) => id)).toEqual(['d0', 'rp0']);
  });

  it('takes its windows and its bus number from the guest, closed windows included', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11);
    vm.replies.set('query-pci', [
      {
        bus: 0,
        devices: [
          pciBridge('rp0', 0x10, {
            secondary: 5,
            prefetchable_range: { base: 2n ** 62n, limit: 2n ** 62n + 0xfffffn },
            devices: [],
          }),
          pciBridge('rp1', 0x11, {}),
        ],
      },
    ]);
    const { ports, buses } = await read(vm);
    expect(ports[0]).toMatchObject({
      secondaryBus: { known: true, value: 5 },
      memoryWindow: { known: true, value: undefined },
      prefetchableWindow: {
        known: true,
        value: { base: 2n ** 62n, limit: 2n ** 62n + 0xfffffn },
      },
    });
    expect(ports[1]).toMatchObject({
      secondaryBus: { known: false, reason: expect.stringContaining('not numbered') as string },
      memoryWindow: { known: false },
      prefetchableWindow: { known: false },
    });
    expect(buses.get('/machine/peripheral/rp0/rp0')).toEqual({
      path: '/machine/peripheral/rp0/rp0',
      isRoot: false,
      number: { known: true, value: 5 },
    });
  });

  it('that left between two reads is not there, and that is no error', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11);
    vm.objects.delete('/machine/peripheral/rp0/rp0');
    vm.objects.delete('/machine/peripheral/rp0');
    expect(only(await read(vm)).id).toBe('rp1');
  });

  it('is occupied by what cannot be read, and free of what has just left', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11).addPort('rp2', 0x12);
    vm.entry(`${PERIPHERAL}/rp0/rp0`, 'child[0]', 'link<nvme>');
    vm.link(`${PERIPHERAL}/rp1/rp1`, 17);
    vm.intercept = (command, { path }) => {
      if (command !== 'qom-list' || path !== `${PERIPHERAL}/rp2/rp2`) return undefined;
      throw new CommandError(command, {}, { class: 'GenericError', desc: 'no \u001b[2J idea' });
    };
    const { ports } = await read(vm);
    expect(ports.map(({ occupants }) => occupants)).toEqual([
      [],
      [expect.stringContaining('/rp1/child[')],
      ['/machine/peripheral/rp2/rp2/(unreadable)'],
    ]);
  });

  it.each<[string, (vm: FakeQom) => void, RegExp]>([
    [
      'on a bus that is behind itself',
      (vm) => vm.set(`${PERIPHERAL}/rp0`, 'parent_bus', `${PERIPHERAL}/rp0/rp0`),
      /behind itself/,
    ],
    [
      'on a bus with a path that is none',
      (vm) => vm.set(`${PERIPHERAL}/rp0`, 'parent_bus', '../../etc/passwd\u001b[2J'),
      /is no path$/,
    ],
    [
      'whose address is no devfn',
      (vm) => vm.set(`${PERIPHERAL}/rp0`, 'addr', 2 ** 40),
      /address of .* cannot be read/,
    ],
    [
      'whose bus is a number',
      (vm) => vm.set(`${PERIPHERAL}/rp0`, 'parent_bus', 4),
      /bus of .* cannot be read/,
    ],
    [
      'with a hot-plug handler that nobody knows',
      (vm) => vm.set('/machine/lpc', 'type', 'evil\u001b'),
      /handlers of type evil\\x1b are not known/,
    ],
    [
      'with a handler that is not there',
      (vm) => vm.objects.delete('/machine/lpc'),
      /handler is gone/,
    ],
  ])('%s is not to be used, and says why', async (_, spoil, reason) => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    spoil(vm);
    const { mechanism } = only(await read(vm));
    expect(mechanism).toEqual({ known: false, reason: expect.stringMatching(reason) as string });
    expect(JSON.stringify(mechanism)).not.toMatch(/\\u001b|\u001b/);
  });

  it('very deep in a tree of bridges is given up in bounded time', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    vm.set(`${PERIPHERAL}/rp0`, 'parent_bus', '/a/0/bus');
    vm.intercept = (command, { path, property }) => {
      const [, level] = /^\/a\/(\d+)$/.exec(path as string) ?? [];
      if (level === undefined) return undefined;
      return property === 'addr' ? 0 : `/a/${Number(level) + 1}/bus`;
    };
    const { mechanism } = only(await read(vm));
    expect(mechanism).toMatchObject({ known: false });
    expect(vm.sent.length).toBeLessThan(100);
  });

  it('below a pxb has the number and the NUMA node of that root bus', async () => {
    const host = '/machine/unattached/device[25]';
    const vm = new FakeQom()
      .addPort('rpx', 0, { parent_bus: `${host}/far` })
      .addDevice('far', 'pxb-pcie', { addr: 0x28, parent_bus: ROOT, bus_nr: 128, numa_node: 1 });
    vm.objects.set(host, { properties: { type: 'pxb-host' } });
    vm.set(`${PERIPHERAL}/rpx/rpx`, 'hotplug-handler', `${PERIPHERAL}/rpx`);
    expect(only(await read(vm))).toMatchObject({
      mechanism: { known: true, value: 'native' },
      rootBus: { known: true, value: 128 },
      numaNode: 1,
      path: [{ device: 0, function: 0 }],
    });
  });

  it('without an id is a device and no port: no device_add can name its bus', async () => {
    const vm = new FakeQom();
    vm.entry('/machine/peripheral-anon', 'device[0]', 'child<pcie-root-port>');
    vm.objects.set('/machine/peripheral-anon/device[0]', {
      properties: { addr: 8, parent_bus: ROOT },
    });
    const { ports, devices } = await read(vm);
    expect(ports).toEqual([]);
    expect(devices).toMatchObject([{ id: undefined, type: 'pcie-root-port', devfn: 8 }]);
  });
});

describe('a vfio-pci device', () => {
  it.each([
    ['0000:3b:00.1', '/sys/bus/pci/devices/0000:3b:00.1', '0000:3b:00.1'],
    ['ffff:ff:ff.f', '/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.1', '0000:3b:00.1'],
    ['ffff:ff:ff.f', '/sys/bus/pci/devices/10000:e1:00.0', '10000:e1:00.0'],
    ['ffff:ff:ff.f', '/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', undefined],
    ['ffff:ff:ff.f', '', undefined],
  ])('with host %s and sysfsdev %s is %s', async (host, sysfsdev, expected) => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    vm.plug(`${PERIPHERAL}/rp0/rp0`, 'gpu', 'vfio-pci', { host, sysfsdev });
    const { devices } = await read(vm);
    expect(devices.find(({ id }) => id === 'gpu')).toEqual({
      id: 'gpu',
      path: '/machine/peripheral/gpu',
      type: 'vfio-pci',
      parentBus: '/machine/peripheral/rp0/rp0',
      devfn: 0,
      host: expected,
      sysfsdev: sysfsdev === '' ? undefined : sysfsdev,
    });
  });
});

describe('readVmSnapshot', () => {
  it('reads the VM around its devices', async () => {
    const vm = new FakeQom();
    vm.entry('/objects', 'iommufd0', 'child<iommufd>');
    expect(await read(vm)).toMatchObject({
      identity: PROCESS,
      key: expect.stringMatching(/^[\w-]+$/) as string,
      qemu: { major: 7 },
      machineType: 'pc-q35-7.2-machine',
      arch: 'x86_64',
      status: 'running',
      ramBytes: { known: true, value: 134217728n },
      objects: new Map([['iommufd0', 'iommufd']]),
      ports: [],
      devices: [],
    });
  });

  it.each(['query-pci', 'query-memory-size-summary'])(
    'goes on without an answer to %s that makes sense',
    async (command) => {
      const vm = new FakeQom().addPort('rp0', 0x10);
      vm.replies.set(command, { 'base-memory': -1 });
      const snapshot = await read(vm);
      const fact = command === 'query-pci' ? only(snapshot).secondaryBus : snapshot.ramBytes;
      expect(fact).toEqual({
        known: false,
        reason: expect.stringContaining(command) as string,
      });
    },
  );

  it('refuses a machine it has no profile for, before it asks for its devices', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    vm.set('/machine', 'type', 'microvm-machine');
    await expect(read(vm)).rejects.toMatchObject({
      code: 'UNSUPPORTED_MACHINE',
      details: { machineType: 'microvm-machine', supported: PROFILES.map(({ name }) => name) },
    });
    expect(vm.sent).toHaveLength(9);
  });

  it('passes silence and the end of the session on', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    const silence = new TimeoutError('COMMAND_TIMEOUT', 'qom-get: no answer');
    vm.intercept = (_, { property }) => {
      if (property === 'chassis') throw silence;
      return undefined;
    };
    await expect(read(vm)).rejects.toBe(silence);
  });

  it('asks the same questions in the same order whatever the answers are late by', async () => {
    const build = () => {
      const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11).addPort('rp2', 0x12);
      for (const id of ['rp0', 'rp1', 'rp2']) vm.plug(`${PERIPHERAL}/${id}/${id}`, `d-${id}`);
      return vm;
    };
    const prompt = build();
    await read(prompt);
    const slow = build();
    const { session } = slow;
    let turn = 0;
    const delayed = {
      ...session,
      execute: async (...args: Parameters<typeof session.execute>) => {
        const answer = session.execute(...args);
        answer.catch(() => undefined);
        for (let wait = (turn += 7) % 5; wait > 0; wait -= 1) await new Promise(setImmediate);
        return answer;
      },
    };
    await readVmSnapshot(delayed, PROCESS);
    expect(slow.sent).toEqual(prompt.sent);
  });

  it('takes from an earlier snapshot only what cannot change', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11);
    const previous = await read(vm);
    vm.plug(`${PERIPHERAL}/rp1/rp1`, 'd0');
    vm.sent.length = 0;
    const next = await readVmSnapshot(vm.session, PROCESS, { previous });
    const questions = vm.sent.filter((text) => /\/rp\d/.test(text));
    expect(questions).toEqual([
      'qom-list /machine/peripheral/rp0/rp0',
      'qom-list /machine/peripheral/rp1/rp1',
      'qom-get /machine/peripheral/rp1/rp1 child[2]',
    ]);
    expect(next).toEqual(await read(vm));
  });

  it('takes nothing from a snapshot of a monitor whose process is not proven', async () => {
    const vm = new FakeQom().addPort('rp0', 0x10);
    const address: VmIdentity = { kind: 'address', address: 'tcp:host:1' };
    const previous = await readVmSnapshot(vm.session, address);
    const count = vm.sent.length;
    await readVmSnapshot(vm.session, address, { previous });
    expect(vm.sent).toHaveLength(2 * count);
  });
});
