import { describe, expect, it } from 'vitest';
import type { AttachHostDevice, Vm } from '../../src/index.js';
import type { Boundary } from '../../src/engine/index.js';
import type { VirtualMachine, World, WorldConfig } from '../../src/simulator/index.js';
import { rootPorts } from '../../src/simulator/index.js';
import { openSession } from '../../src/qmp/connect.js';
import {
  ACCELERATOR,
  ADDRESS,
  AUDIO,
  createHostWorld,
  GPU,
  HOST_FUNCTIONS,
  killAtEveryBoundary,
  onVm,
  openSimulatedVm,
  runTask,
  SECOND_ADDRESS,
} from './simulated.js';

const OBJECT = 'qmplug-iommufd';
const PORTS = rootPorts(3, {
  properties: { 'pref64-reserve': 128n << 30n, 'mem-reserve': 64n << 20n },
});

interface Options extends Partial<WorldConfig> {
  /** As whom QEMU runs; default root. */
  readonly uid?: number;
  readonly release?: '7.2.22' | '10.0.13';
  readonly cdev?: boolean;
}

/** A host whose kernel has iommufd, and a VM that can use it. */
function iommufdWorld({
  uid = 0,
  release = '10.0.13',
  cdev = true,
  ...config
}: Options = {}): World {
  return createHostWorld({
    seed: 1,
    guest: { kind: 'linux' },
    host: { functions: HOST_FUNCTIONS, cdev, loadedModules: ['vfio', 'vfio_pci'] },
    qemu: {
      release,
      monitors: [ADDRESS, SECOND_ADDRESS],
      devices: PORTS,
      firmware: { windowAlignment: 'natural' },
      process: { uid, gid: uid },
    },
    ...config,
  });
}

const attach = (world: World, device: string, more: Partial<AttachHostDevice> = {}) =>
  onVm(world, (vm) => vm.attach({ device, ...more }));
const detach = (world: World, device: string) => onVm(world, (vm) => vm.detach(device));
const objectsIn = (world: World) => [...world.vm().machine.objects.keys()];
/** What of VFIO and iommufd QEMU has open. */
const openIn = ({ process }: VirtualMachine) =>
  [...process.fds.values()].filter((path) => /^\/dev\/(iommu|vfio)/.test(path)).sort();

/** Another client's command. */
async function elsewhere(world: World, command: string, args: Readonly<Record<string, string>>) {
  const session = await world.run(
    openSession(world.connect(SECOND_ADDRESS), { clock: world.clock }),
  );
  await world.run(session.execute(command, args));
  await world.run(session.close());
}

describe('a device goes in through iommufd', () => {
  it('where kernel and QEMU have it, and everything is given back', async () => {
    const world = iommufdWorld();
    const before = world.snapshot();
    const { attachment, steps } = await attach(world, ACCELERATOR);
    expect(attachment.route).toEqual({ kind: 'iommufd', why: 'host and QEMU have it' });
    expect(steps.map(({ kind }) => kind)).toEqual([
      'ReserveGroup',
      'BindDriver',
      'GrantAccess',
      'AddIommufd',
      'AddDevice',
    ]);
    expect(openIn(world.vm())).toEqual(['/dev/iommu', '/dev/vfio/devices/vfio0']);
    const status = await onVm(world, (vm) => vm.status());
    expect(status.attachments).toMatchObject([{ group: 5, route: { kind: 'iommufd' } }]);

    const detached = await detach(world, ACCELERATOR);
    expect(detached.removals).toMatchObject([{ state: 'released' }]);
    expect(objectsIn(world)).toEqual([]);
    expect(openIn(world.vm())).toEqual([]);
    expect(world.snapshot()).toBe(before);
  });

  it('with one object for all devices, which goes with the last', async () => {
    const world = iommufdWorld();
    const before = world.snapshot();
    await attach(world, ACCELERATOR);
    await attach(world, GPU, { members: 'slot' });
    expect(objectsIn(world)).toEqual([OBJECT]);
    const devices = world.vm().machine.devices.filter(({ hotplugged }) => hotplugged);
    expect(devices.map(({ properties }) => properties.get('iommufd'))).toEqual([
      OBJECT,
      OBJECT,
      OBJECT,
    ]);
    await detach(world, ACCELERATOR);
    expect(objectsIn(world)).toEqual([OBJECT]);
    await detach(world, AUDIO);
    expect(objectsIn(world)).toEqual([]);
    expect(world.snapshot()).toBe(before);
  });

  it('uses the object of somebody else, and leaves it alone', async () => {
    const world = iommufdWorld();
    await elsewhere(world, 'object-add', { 'qom-type': 'iommufd', id: 'theirs' });
    const { steps } = await attach(world, ACCELERATOR);
    expect(steps.map(({ kind }) => kind)).not.toContain('AddIommufd');
    expect(world.vm().machine.find('vfio_device_5_0')?.properties.get('iommufd')).toBe('theirs');
    await detach(world, ACCELERATOR);
    expect(objectsIn(world)).toEqual(['theirs']);
  });

  it('leaves our object to a device that somebody else has given it', async () => {
    const world = iommufdWorld({ guest: { kind: 'linux' } });
    await attach(world, ACCELERATOR);
    const bind = world.startController();
    await runTask(world, bind, async () => {
      await bind.effects.write(`/sys/bus/pci/devices/${GPU}/driver_override`, 'vfio-pci');
      await bind.effects.write(`/sys/bus/pci/devices/${GPU}/driver/unbind`, GPU);
      await bind.effects.write(`/sys/bus/pci/devices/${AUDIO}/driver/unbind`, AUDIO);
      await bind.effects.write('/sys/bus/pci/drivers_probe', GPU);
    });
    const device = { driver: 'vfio-pci', id: 'theirs', bus: 'rp1', addr: '0x0' };
    await elsewhere(world, 'device_add', { ...device, host: GPU, iommufd: OBJECT });
    await detach(world, ACCELERATOR);
    expect(objectsIn(world)).toEqual([OBJECT]);
  });

  it('takes a reservation, and a holder of the node itself stands in the way', async () => {
    const world = iommufdWorld();
    const other = 'unix:/run/other.sock';
    world.startVm({ name: 'other', release: '10.0.13', monitors: [other], devices: PORTS });
    await attach(world, ACCELERATOR);
    const attachToOther = () => {
      const process = world.startController();
      return runTask(world, process, async () => {
        await using vm = await openSimulatedVm(process, other);
        return await vm.attach({ device: ACCELERATOR });
      });
    };
    await expect(attachToOther()).rejects.toMatchObject({ code: 'CONFLICT' });
    // The same without our own records of it.
    await world.store.remove('reservations/group-5.json');
    await expect(attachToOther()).rejects.toMatchObject({
      code: 'GROUP_HELD',
      details: { node: '/dev/vfio/devices/vfio0', pid: world.vm().process.pid },
    });
  });
});

describe('a device goes in through its group, and says why', () => {
  it.each<[string, Options, string]>([
    ['a kernel without iommufd', { cdev: false }, 'the host has no /dev/iommu'],
    ['a QEMU without iommufd', { release: '7.2.22' }, 'QEMU 7.2.22 has no iommufd'],
    [
      'a kernel that has not loaded vfio yet',
      { host: { functions: HOST_FUNCTIONS, cdev: true } },
      'the module vfio is not loaded, so whether it makes nodes of single devices cannot be told',
    ],
  ])('on %s', async (_, options, why) => {
    const world = iommufdWorld(options);
    const before = world.snapshot();
    const { attachment } = await attach(world, ACCELERATOR);
    expect(attachment.route).toEqual({ kind: 'group', why });
    await detach(world, ACCELERATOR);
    expect(world.snapshot()).toBe(before);
  });

  it('where it was asked for, and those that follow it', async () => {
    const world = iommufdWorld();
    const first = await attach(world, ACCELERATOR, { route: 'group' });
    expect(first.attachment.route).toEqual({ kind: 'group', why: 'it was asked for' });
    const second = await attach(world, GPU, { members: 'slot' });
    expect(second.attachment.route).toEqual({
      kind: 'group',
      why: 'vfio_device_5_0 came through its group',
    });
    expect(openIn(world.vm())).toEqual(['/dev/vfio/17', '/dev/vfio/5', '/dev/vfio/vfio']);
  });

  it('but not where iommufd was asked for by name', async () => {
    const refused = async (options: Options, code: string) => {
      const world = iommufdWorld(options);
      const before = world.snapshot();
      await expect(attach(world, ACCELERATOR, { route: 'iommufd' })).rejects.toMatchObject({
        code,
        remedy: expect.stringContaining('--no-iommufd') as string,
      });
      expect(world.snapshot()).toBe(before);
    };
    await refused({ cdev: false }, 'NO_IOMMUFD');
    await refused({ release: '7.2.22' }, 'NO_IOMMUFD');
  });

  it('and a group that is open through its node does not take another of its functions', async () => {
    const world = iommufdWorld();
    await attach(world, GPU, { members: 'slot', route: 'group' });
    await expect(attach(world, AUDIO, { route: 'iommufd', port: 'rp1' })).rejects.toMatchObject({
      code: 'ATTACHED_ELSEWHERE',
    });
  });
});

describe('a QEMU that may open nothing is handed descriptors', () => {
  const UNPRIVILEGED = { uid: 107 };

  it('and no owner of a node is changed', async () => {
    const world = iommufdWorld(UNPRIVILEGED);
    const before = world.snapshot();
    const { attachment } = await attach(world, ACCELERATOR);
    expect(attachment.route).toEqual({
      kind: 'descriptors',
      why: '/dev/iommu is closed to QEMU, which runs as uid 107',
    });
    expect(openIn(world.vm())).toEqual(['/dev/iommu', '/dev/vfio/devices/vfio0']);
    expect(world.snapshot()).toContain('/dev/vfio/devices/vfio0 0:0 0600');
    await attach(world, GPU, { members: 'slot' });
    await detach(world, GPU);
    await detach(world, ACCELERATOR);
    expect(objectsIn(world)).toEqual([]);
    expect(world.snapshot()).toBe(before);
  });

  it('and keeps none of a command that failed before it took them', async () => {
    const world = iommufdWorld(UNPRIVILEGED);
    const before = world.snapshot();
    const occupy = async ({ kind, turn, at }: Boundary) => {
      if (`${turn} ${kind} ${at}` !== 'do AddDevice after-intent') return;
      const session = await openSession(world.connect(SECOND_ADDRESS), { clock: world.clock });
      const intruder = { driver: 'pci-testdev', id: 'vfio_device_5_0', bus: 'rp1', addr: '0x0' };
      await session.execute('device_add', intruder);
      await session.close();
    };
    const attaching = onVm(world, (vm) => vm.attach({ device: ACCELERATOR }), occupy);
    await expect(attaching).rejects.toMatchObject({ code: 'STEP_FAILED' });
    expect(openIn(world.vm())).toEqual(['/dev/iommu']);
    expect(objectsIn(world)).toEqual([]);
    expect(world.snapshot()).toBe(before);
  });

  it('or its node is granted, where the object is there already', async () => {
    const world = iommufdWorld();
    const before = world.snapshot();
    await attach(world, ACCELERATOR, { route: 'descriptors' });
    expect(openIn(world.vm())).toEqual(['/dev/iommu', '/dev/vfio/devices/vfio0']);
    await detach(world, ACCELERATOR);
    expect(world.snapshot()).toBe(before);
  });

  describe('and its memory limit', () => {
    const GIB = 1n << 30n;
    const OTHER = '0000:06:00.0';
    const OTHER_VM = 'unix:/run/vm1.sock';

    /** Two VMs of a user who may lock nothing, with 2 GiB each. */
    function limitedWorld(): World {
      const [accelerator, ...rest] = HOST_FUNCTIONS;
      if (accelerator === undefined) throw new Error('a host without an accelerator');
      const functions = [accelerator, { ...accelerator, bdf: OTHER, group: 6 }, ...rest];
      return iommufdWorld({
        host: { functions, cdev: true, loadedModules: ['vfio', 'vfio_pci'] },
        qemu: [ADDRESS, OTHER_VM].map((address) => ({
          release: '10.0.13' as const,
          memoryBytes: 2n * GIB,
          monitors: [address],
          devices: PORTS,
          firmware: { windowAlignment: 'natural' as const },
          process: { uid: 107, memlock: { soft: 0n, hard: 0n } },
        })),
      });
    }

    const limitOf = (world: World, label?: string) => world.vm(label).process.memlock.soft;

    function onOtherVm(world: World, work: (vm: Vm) => Promise<unknown>): Promise<unknown> {
      const process = world.startController();
      return runTask(world, process, async () => {
        await using vm = await openSimulatedVm(process, OTHER_VM);
        return await work(vm);
      });
    }

    it('bears what other VMs of its user have pinned', async () => {
      const world = limitedWorld();
      const before = world.snapshot();
      await attach(world, ACCELERATOR);
      await onOtherVm(world, (vm) => vm.attach({ device: GPU, members: 'slot' }));
      expect(limitOf(world, 'vm1')).toBe(5n * GIB);
      await onOtherVm(world, (vm) => vm.detach(GPU));
      await detach(world, ACCELERATOR);
      expect(world.snapshot()).toBe(before);
    });

    it.each([
      [ACCELERATOR, OTHER, 5n],
      [OTHER, ACCELERATOR, 3n],
    ])('goes down with what leaves, in whatever order: %s first', async (first, last, between) => {
      const world = limitedWorld();
      const before = world.snapshot();
      await attach(world, ACCELERATOR);
      expect(limitOf(world)).toBe(3n * GIB);
      await onOtherVm(world, (vm) => vm.attach({ device: GPU, members: 'slot' }));
      await attach(world, OTHER);
      expect(limitOf(world)).toBe(5n * GIB);
      await detach(world, first);
      expect(limitOf(world)).toBe(between * GIB);
      await detach(world, last);
      expect(limitOf(world)).toBe(0n);
      await onOtherVm(world, (vm) => vm.detach(GPU));
      expect(world.snapshot()).toBe(before);
    });
  });
});

describe.each([
  ['iommufd', 0],
  ['descriptors', 107],
] as const)('on the route %s a process killed at any boundary', (route, uid) => {
  it.each(['attach', 'detach'] as const)(
    'in the middle of %s leaves nothing that a later command does not mend',
    async (what) => {
      const untouched = iommufdWorld({ uid }).snapshot();
      const request = { device: ACCELERATOR, route };
      const count = await killAtEveryBoundary(
        async () => {
          const world = iommufdWorld({ uid });
          if (what === 'detach') await onVm(world, (vm) => vm.attach(request));
          return world;
        },
        (vm) => (what === 'attach' ? vm.attach(request) : vm.detach(ACCELERATOR)),
        async (world, kill) => {
          if (kill % 2 === 0) await onVm(world, (vm) => vm.recover());
          await detach(world, ACCELERATOR);
          expect(objectsIn(world), `killed at ${kill}`).toEqual([]);
          const left = openIn(world.vm()).filter((path) => path !== '/dev/iommu');
          expect(left, `killed at ${kill}`).toEqual([]);
          expect(world.snapshot(), `killed at ${kill}`).toBe(untouched);
        },
      );
      expect(count).toBeGreaterThan(16);
    },
  );
});
