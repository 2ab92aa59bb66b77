import { describe, expect, it } from 'vitest';
import type { HostIoError } from '../../src/host/effects.js';
import { readHostSnapshot } from '../../src/host/index.js';
import { toBdf } from '../../src/pci/pci-address.js';
import {
  audioFunction,
  createWorld,
  gpuFunction,
  nicFunction,
  nvmeFunction,
  portFunction,
  rootPorts,
  type ControllerProcess,
  type HostConfig,
  type World,
} from '../../src/simulator/index.js';

const GPU = '0000:41:00.0';
const AUDIO = '0000:41:00.1';
const PF = '0000:81:00.0';
const NVME = '0000:c1:00.0';
const PORT = '0000:40:01.0';

const HOST: HostConfig = {
  functions: [
    portFunction({ bdf: PORT, group: 6 }),
    gpuFunction({ bdf: GPU, group: 7, parent: PORT, numaNode: 1 }),
    audioFunction({ bdf: AUDIO, group: 7, parent: PORT }),
    {
      ...nicFunction({ bdf: PF, group: 9 }),
      sriov: { totalVfs: 8, vfDeviceId: 0x1520, vfDriver: 'igbvf' },
    },
    nvmeFunction({ bdf: NVME, group: 11 }),
  ],
};

interface Bench {
  readonly world: World;
  readonly process: ControllerProcess;
  readonly read: (path: string) => Promise<string>;
  readonly write: (path: string, data: string) => Promise<void>;
  readonly errnoOf: (promise: Promise<unknown>) => Promise<string>;
  readonly driverOf: (bdf: string) => Promise<string>;
}

function bench(host: HostConfig = HOST): Bench {
  const world = createWorld({ seed: 1, host, qemu: { devices: rootPorts(2) } });
  const process = world.startController();
  const { effects } = process;
  return {
    world,
    process,
    read: (path) => world.run(effects.read(path)),
    write: (path, data) => world.run(effects.write(path, data)),
    errnoOf: (promise) =>
      world.run(
        promise.then(
          () => 'success',
          (error: unknown) => (error as HostIoError).errno,
        ),
      ),
    driverOf: (bdf) =>
      world.run(
        effects.readlink(`/sys/bus/pci/devices/${bdf}/driver`).then(
          (target) => target.split('/').at(-1) ?? '',
          () => 'none',
        ),
      ),
  };
}

const device = (bdf: string, file: string) => `/sys/bus/pci/devices/${bdf}/${file}`;
const BIND = '/sys/bus/pci/drivers/vfio-pci/bind';
const PROBE = '/sys/bus/pci/drivers_probe';

/** Takes a function from its driver and gives it to vfio-pci. */
async function toVfio({ process, world, write }: Bench, bdf: string): Promise<void> {
  await world.run(process.effects.loadModule('vfio-pci'));
  await write(device(bdf, 'driver_override'), 'vfio-pci');
  if (world.kernel.find(bdf)?.driver !== undefined) await write(device(bdf, 'driver/unbind'), bdf);
  await write(BIND, bdf);
}

const addVfio = (bdf: string, id = 'v', bus = 'rp0') => ({
  driver: 'vfio-pci',
  id,
  bus,
  addr: '0x0',
  host: bdf,
});

describe('binding, by the errno table', () => {
  it('answers ENODEV without an override that matches, and EBUSY while bound', async () => {
    const { world, process, write, errnoOf } = bench();
    await world.run(process.effects.loadModule('vfio-pci'));
    expect(await errnoOf(process.effects.write(BIND, GPU))).toBe('ENODEV');
    await write(device(GPU, 'driver_override'), 'vfio-pci');
    expect(await errnoOf(process.effects.write(BIND, GPU))).toBe('EBUSY');
  });

  it('answers ENODEV for a device that does not exist', async () => {
    const { world, process, errnoOf } = bench();
    await world.run(process.effects.loadModule('vfio-pci'));
    const missing = '0000:99:00.0';
    expect(await errnoOf(process.effects.write(BIND, missing))).toBe('ENODEV');
    expect(await errnoOf(process.effects.write(PROBE, missing))).toBe('ENODEV');
    const unbind = '/sys/bus/pci/drivers/nvidia/unbind';
    expect(await errnoOf(process.effects.write(unbind, missing))).toBe('ENODEV');
  });

  it('answers ENODEV for the wrong driver and ENOENT for no driver', async () => {
    const { process, write, errnoOf } = bench();
    expect(await errnoOf(process.effects.write('/sys/bus/pci/drivers/e1000e/unbind', GPU))).toBe(
      'ENODEV',
    );
    await write(device(GPU, 'driver/unbind'), GPU);
    expect(await errnoOf(process.effects.write(device(GPU, 'driver/unbind'), GPU))).toBe('ENOENT');
  });

  it('returns the errno of a probe that fails', async () => {
    const functions = [
      { ...gpuFunction({ bdf: GPU, group: 7 }), probeErrors: { 'vfio-pci': 'EIO' } },
      { ...nicFunction({ bdf: PF, group: 9 }), denylisted: true },
      portFunction({ bdf: PORT, group: 6, driver: null }),
    ];
    for (const [bdf, errno] of [
      [GPU, 'EIO'],
      [PF, 'EINVAL'],
      [PORT, 'EINVAL'],
    ] as const) {
      const one = bench({ functions });
      expect(await one.errnoOf(toVfio(one, bdf))).toBe(errno);
      expect(await one.driverOf(bdf)).toBe('none');
    }
  });

  it('answers EBUSY for a bridge on its port driver, EINVAL without an IOMMU', async () => {
    const one = bench();
    await one.world.run(one.process.effects.loadModule('vfio-pci'));
    await one.write(device(PORT, 'driver_override'), 'vfio-pci');
    expect(await one.errnoOf(one.process.effects.write(BIND, PORT))).toBe('EBUSY');
    const without = bench({ ...HOST, iommu: 'none' });
    expect(await without.errnoOf(toVfio(without, GPU))).toBe('EINVAL');
  });

  it('has no group link and no groups without an IOMMU', async () => {
    const { process, errnoOf, world } = bench({ ...HOST, iommu: 'none' });
    expect(await errnoOf(process.effects.readlink(device(GPU, 'iommu_group')))).toBe('ENOENT');
    expect(await world.run(process.effects.list('/sys/kernel/iommu_groups'))).toEqual([]);
  });
});

describe('writes that succeed and change nothing', () => {
  it('drivers_probe with an override that names an absent driver', async () => {
    const { write, driverOf } = bench();
    await write(device(GPU, 'driver_override'), 'no-such-driver');
    await write(device(GPU, 'driver/unbind'), GPU);
    await write(PROBE, GPU);
    expect(await driverOf(GPU)).toBe('none');
  });

  it('drivers_probe of a sibling while a VM holds the group', async () => {
    const one = bench();
    await toVfio(one, GPU);
    await one.write(device(AUDIO, 'driver/unbind'), AUDIO);
    one.world.kernel.vfio.openGroup(one.world.vm().process.pid, 7);
    expect(await one.errnoOf(one.process.effects.write(PROBE, AUDIO))).toBe('EINVAL');
    expect(await one.driverOf(AUDIO)).toBe('none');
    one.world.kernel.vfio.closeGroupIfUnused(one.world.vm().process.pid, 7);
    expect(await one.driverOf(AUDIO)).toBe('none');
    await one.write(PROBE, AUDIO);
    expect(await one.driverOf(AUDIO)).toBe('snd_hda_intel');
  });

  it('an empty write', async () => {
    const { write, read } = bench();
    await write(device(GPU, 'driver_override'), 'vfio-pci');
    await write(device(GPU, 'driver_override'), '');
    expect(await read(device(GPU, 'driver_override'))).toBe('vfio-pci\n');
    await write(device(GPU, 'driver_override'), '\n');
    expect(await read(device(GPU, 'driver_override'))).toBe('(null)\n');
  });
});

describe('driver_override', () => {
  it('takes any name and refuses a page of text', async () => {
    const { process, errnoOf, write, driverOf } = bench();
    await write(device(GPU, 'driver_override'), 'x'.repeat(4094));
    expect(await driverOf(GPU)).toBe('nvidia');
    const long = process.effects.write(device(GPU, 'driver_override'), 'x'.repeat(4095));
    expect(await errnoOf(long)).toBe('EINVAL');
  });

  it('is lost by remove and rescan, and the native driver is back', async () => {
    const one = bench();
    await toVfio(one, GPU);
    await one.write(device(GPU, 'remove'), '1');
    expect(await one.errnoOf(one.process.effects.stat(device(GPU, 'vendor')))).toBe('ENOENT');
    await one.write('/sys/bus/pci/rescan', '1');
    expect(await one.read(device(GPU, 'driver_override'))).toBe('(null)\n');
    expect(await one.driverOf(GPU)).toBe('nvidia');
  });
});

it('adds a dynamic id once, and takes it away once', async () => {
  const { world, process, write, errnoOf, driverOf } = bench();
  await world.run(process.effects.loadModule('vfio-pci'));
  await write(device(GPU, 'driver/unbind'), GPU);
  await write('/sys/bus/pci/drivers/vfio-pci/new_id', '10de 2330');
  expect(await driverOf(GPU)).toBe('vfio-pci');
  const again = process.effects.write('/sys/bus/pci/drivers/vfio-pci/new_id', '10de 2330');
  expect(await errnoOf(again)).toBe('EEXIST');
  await write('/sys/bus/pci/drivers/vfio-pci/remove_id', '10de 2330');
  const gone = process.effects.write('/sys/bus/pci/drivers/vfio-pci/remove_id', '10de 2330');
  expect(await errnoOf(gone)).toBe('ENODEV');
});

describe('sriov_numvfs', () => {
  const NUMVFS = device(PF, 'sriov_numvfs');

  it.each([
    ['abc', 'EINVAL'],
    ['9', 'ERANGE'],
    ['0', 'success'],
  ])('answers %j with %s', async (text, result) => {
    const { process, errnoOf } = bench();
    expect(await errnoOf(process.effects.write(NUMVFS, text))).toBe(result);
  });

  it('makes VFs in groups of their own, on their driver, and takes them away', async () => {
    const { world, process, write, read, errnoOf, driverOf } = bench();
    await write(NUMVFS, '2');
    expect(await read(NUMVFS)).toBe('2\n');
    const vf = (await world.run(process.effects.readlink(device(PF, 'virtfn0')))).slice(3);
    expect(vf).toBe('0000:81:10.0');
    expect(await world.run(process.effects.readlink(device(vf, 'physfn')))).toBe(`../${PF}`);
    expect(await driverOf(vf)).toBe('igbvf');
    expect(world.kernel.members(12).map(({ bdf }) => bdf)).toEqual([vf]);
    expect(await errnoOf(process.effects.write(NUMVFS, '3'))).toBe('EBUSY');
    expect(await errnoOf(process.effects.write(NUMVFS, '2'))).toBe('success');
    await write(NUMVFS, '0');
    expect(await errnoOf(process.effects.stat(device(vf, 'vendor')))).toBe('ENOENT');
  });

  it('leaves VFs alone without autoprobe', async () => {
    const { write, driverOf } = bench();
    await write(device(PF, 'sriov_drivers_autoprobe'), '0');
    await write(NUMVFS, '1');
    expect(await driverOf('0000:81:10.0')).toBe('none');
  });

  it('needs the PF driver', async () => {
    const { process, write, errnoOf } = bench();
    await write(device(PF, 'driver/unbind'), PF);
    expect(await errnoOf(process.effects.write(NUMVFS, '1'))).toBe('ENOENT');
  });

  it('keeps vfio-pci from a PF with VFs: EBUSY by bind, silence by drivers_probe', async () => {
    const one = bench();
    await one.write(NUMVFS, '1');
    expect(await one.errnoOf(toVfio(one, PF))).toBe('EBUSY');
    await one.write(PROBE, PF);
    expect(await one.driverOf(PF)).toBe('none');
  });

  it('can enable fewer than asked and call it a success', async () => {
    const functions = [
      {
        ...nicFunction({ bdf: PF, group: 9 }),
        sriov: { totalVfs: 8, vfDeviceId: 0x1520, enablesAtMost: 2 },
      },
    ];
    const { write, read } = bench({ functions });
    await write(NUMVFS, '5');
    expect(await read(NUMVFS)).toBe('2\n');
  });
});

describe('VFIO nodes', () => {
  it('appear with the first member, fresh, and go with the last', async () => {
    const one = bench();
    const { world, process } = one;
    const stat = () => world.run(process.effects.stat('/dev/vfio/7'));
    await toVfio(one, GPU);
    const first = await stat();
    expect(first).toMatchObject({ kind: 'character', uid: 0, gid: 0, mode: 0o600 });
    await world.run(process.effects.chown('/dev/vfio/7', 107, 107));
    await toVfio(one, AUDIO);
    expect(await stat()).toMatchObject({ uid: 107, inode: first.inode });
    await one.write(device(GPU, 'driver/unbind'), GPU);
    await one.write(device(AUDIO, 'driver/unbind'), AUDIO);
    expect(await one.errnoOf(process.effects.stat('/dev/vfio/7'))).toBe('ENOENT');
    await one.write(BIND, GPU);
    const again = await stat();
    expect(again).toMatchObject({ uid: 0, mode: 0o600 });
    expect(again.inode).not.toBe(first.inode);
  });

  it('open for one process at a time', async () => {
    const one = bench();
    await toVfio(one, GPU);
    await toVfio(one, AUDIO);
    const { vfio } = one.world.kernel;
    const other = one.world.startVm({ name: 'other' });
    vfio.openGroup(one.world.vm().process.pid, 7);
    expect(() => {
      vfio.openGroup(other.process.pid, 7);
    }).toThrow('EBUSY');
  });

  it('show a cdev only on a kernel that has one', async () => {
    const plain = bench();
    await toVfio(plain, GPU);
    const dir = device(GPU, 'vfio-dev');
    const [name = ''] = await plain.world.run(plain.process.effects.list(dir));
    expect(await plain.errnoOf(plain.process.effects.read(`${dir}/${name}/dev`))).toBe('ENOENT');
    const modern = bench({ ...HOST, cdev: true });
    await toVfio(modern, GPU);
    expect(await modern.read(`${dir}/${name}/dev`)).toMatch(/^\d+:\d+\n$/);
    expect(await modern.world.run(modern.process.effects.list('/dev/vfio/devices'))).toEqual([
      name,
    ]);
  });
});

describe('a device that a VM holds', () => {
  async function held() {
    const one = bench();
    await toVfio(one, GPU);
    await toVfio(one, AUDIO);
    const { pid } = one.world.vm().process;
    const fn = one.world.kernel.find(GPU);
    if (!fn) throw new Error('no GPU');
    one.world.kernel.vfio.openGroup(pid, 7);
    one.world.kernel.vfio.openDevice(pid, fn);
    return { one, pid, fn };
  }

  it('makes unbind wait, the writer give up, and the unbind happen when it is let go', async () => {
    const { one, pid, fn } = await held();
    const { effects } = one.process;
    const unbind = effects.write(device(GPU, 'driver/unbind'), GPU, { deadlineMs: 8_000 });
    await expect(one.world.run(unbind)).rejects.toMatchObject({ errno: 'ETIMEDOUT', stuck: true });
    expect(await one.driverOf(GPU)).toBe('vfio-pci');
    one.world.kernel.vfio.closeDevice(pid, fn);
    await one.world.clock.settle();
    expect(await one.driverOf(GPU)).toBe('none');
  });

  it('makes every later write to the device wait behind it', async () => {
    const { one } = await held();
    const { effects } = one.process;
    const first = effects.write(device(GPU, 'driver/unbind'), GPU).catch(() => undefined);
    const second = effects.write(device(GPU, 'reset'), '1');
    await expect(one.world.run(second)).rejects.toMatchObject({ stuck: true });
    await one.world.run(first);
  });

  it('lets other devices of the group go', async () => {
    const { one } = await held();
    await one.write(device(AUDIO, 'driver/unbind'), AUDIO);
    expect(await one.driverOf(AUDIO)).toBe('none');
  });

  it('blocks driver_override only on kernels that take the lock there', async () => {
    const { one } = await held();
    one.process.effects.write(device(GPU, 'driver/unbind'), GPU).catch(() => undefined);
    expect(await one.read(device(GPU, 'driver_override'))).toBe('vfio-pci\n');

    const old = bench({ ...HOST, overrideTakesDeviceLock: true });
    const fn = old.world.kernel.find(GPU);
    void fn?.lock.run(() => new Promise<void>(() => undefined));
    const read = old.process.effects.read(device(GPU, 'driver_override'));
    await expect(old.world.run(read)).rejects.toMatchObject({ stuck: true });
  });

  it('is given back when its process dies', async () => {
    const { one } = await held();
    const unbind = one.process.effects.write(device(GPU, 'driver/unbind'), GPU);
    one.world.vm().kill();
    await one.world.run(unbind);
    expect(one.world.kernel.vfio.ownerOf(7)).toBeUndefined();
  });
});

it('makes a function vanish with everything below its path', async () => {
  const { world, process, errnoOf } = bench();
  world.kernel.vanish(GPU);
  expect(await errnoOf(process.effects.read(device(GPU, 'vendor')))).toBe('ENOENT');
  expect(await errnoOf(process.effects.write(PROBE, GPU))).toBe('ENODEV');
  expect(await world.run(process.effects.list('/sys/kernel/iommu_groups/7/devices'))).toEqual([
    AUDIO,
  ]);
});

it('fails a write that waited for the lock of a device which is gone by then', async () => {
  const { world, process, errnoOf } = bench();
  let release: () => void = () => undefined;
  const fn = world.kernel.find(GPU);
  void fn?.lock.run(
    () =>
      new Promise<void>((resolve) => {
        release = resolve;
      }),
  );
  const probe = process.effects.write(PROBE, GPU);
  await world.clock.settle();
  world.kernel.vanish(GPU);
  release();
  expect(await errnoOf(probe)).toBe('ENODEV');
});

it('loads modules it has and no others', async () => {
  const { world, process, errnoOf } = bench();
  expect(await errnoOf(process.effects.stat('/dev/vfio/vfio'))).toBe('ENOENT');
  await world.run(process.effects.loadModule('vfio_pci'));
  expect(await world.run(process.effects.stat('/dev/vfio/vfio'))).toMatchObject({ mode: 0o666 });
  expect(await errnoOf(process.effects.loadModule('no_such_module'))).toBe('ENOENT');
});

describe('what the host looks like', () => {
  it('has functions under their bridges, with links as the kernel makes them', async () => {
    const { world, process, read } = bench();
    const link = await world.run(process.effects.readlink(`/sys/bus/pci/devices/${GPU}`));
    expect(link).toBe(`../../../devices/pci0000:40/${PORT}/${GPU}`);
    expect(await read(`/sys/devices/pci0000:40/${PORT}/${GPU}/vendor`)).toBe('0x10de\n');
    expect(await read(device(GPU, 'numa_node'))).toBe('1\n');
    expect(await read(device(GPU, 'iommu_group/type'))).toBe('DMA-FQ\n');
    expect(await read(device(GPU, 'resource'))).toMatch(
      /^0x0{8}e0000000 0x0{8}e0ffffff 0x0{11}40200\n0x0000380000000000 0x00003807ffffffff 0x0{10}14220c\n/,
    );
    expect(await world.run(process.effects.list(`/sys/bus/pci/drivers/nvidia`))).toContain(GPU);
  });

  it('shows what a native driver makes of a function only while it is bound', async () => {
    const { process, write, errnoOf, world } = bench();
    expect(await world.run(process.effects.list(device(PF, 'net')))).toEqual(['eth0']);
    await write(device(PF, 'driver/unbind'), PF);
    expect(await errnoOf(process.effects.list(device(PF, 'net')))).toBe('ENOENT');
  });

  it('lets the guards of an attach see a mounted disk', async () => {
    const mountinfo = '30 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n';
    const { world, process, write } = bench({ ...HOST, mountinfo });
    const uses = async () => {
      const snapshot = await world.run(readHostSnapshot(process.effects, { uses: [toBdf(NVME)] }));
      return snapshot.uses.get(toBdf(NVME)) ?? [];
    };
    expect(await uses()).toEqual([expect.objectContaining({ level: 'block' })]);
    await write(device(NVME, 'driver/unbind'), NVME);
    expect(await uses()).toEqual([]);
  });

  it('tells who runs, what is open and what may be locked', async () => {
    const { world, process, read } = bench();
    const vm = world.vm();
    const { pid } = vm.process;
    expect(await read(`/proc/${pid}/stat`)).toMatch(
      new RegExp(`^${pid} \\(qemu-system-x86\\) S 1 `),
    );
    expect((await read(`/proc/${pid}/stat`)).split(' ')[21]).toBe(String(vm.process.startTime));
    expect(await read('/proc/self/comm')).toBe('qmplug\n');
    const [socket] = vm.sockets;
    expect(await read('/proc/net/unix')).toContain(` ${socket?.inode ?? ''} /run/vm0.sock\n`);
    const fds = await world.run(process.effects.list(`/proc/${pid}/fd`));
    const targets = await Promise.all(
      fds.map((fd) => world.run(process.effects.readlink(`/proc/${pid}/fd/${fd}`))),
    );
    expect(targets).toContain(`socket:[${socket?.inode ?? ''}]`);
    await world.run(process.effects.setMemlock(pid, { soft: 1n << 30n, hard: undefined }));
    expect(await read(`/proc/${pid}/limits`)).toMatch(
      /^Max locked memory +1073741824 +unlimited +bytes/m,
    );
    expect(await world.run(process.effects.readMemlock(pid))).toEqual({
      soft: 1n << 30n,
      hard: undefined,
    });
  });

  it('reads all ones from a dead function', async () => {
    const functions = [{ ...gpuFunction({ bdf: GPU, group: 7 }), dead: true }];
    const { world, process } = bench({ functions });
    const config = await world.run(process.effects.readBytes(device(GPU, 'config'), 4));
    expect([...config]).toEqual([255, 255, 255, 255]);
  });
});

it('has a snapshot that differs exactly when something was left behind', async () => {
  const one = bench();
  const before = one.world.snapshot();
  await toVfio(one, GPU);
  expect(one.world.snapshot()).not.toBe(before);
  await one.write(device(GPU, 'driver/unbind'), GPU);
  await one.write(device(GPU, 'driver_override'), '\n');
  await one.write('/sys/bus/pci/drivers/nvidia/bind', GPU);
  expect(one.world.snapshot()).toBe(before);
  for (const change of [
    () => one.write(device(GPU, 'driver_override'), 'nvidia'),
    () => one.write(device(GPU, 'power/control'), 'auto'),
    () => one.write(device(GPU, 'reset_method'), 'bus'),
    () =>
      one.world.run(
        one.process.effects.setMemlock(one.world.vm().process.pid, { soft: 1n, hard: 1n }),
      ),
  ]) {
    const last = one.world.snapshot();
    await change();
    expect(one.world.snapshot()).not.toBe(last);
  }
});

it('has a vfio-pci of QEMU that holds the group and gives it back before the event', async () => {
  const one = bench();
  await toVfio(one, GPU);
  await toVfio(one, AUDIO);
  const before = one.world.snapshot();
  const vm = one.world.vm();
  const { machine } = vm;
  const { addDevice } = await import('../../src/simulator/qemu/device-add.js');
  addDevice(machine, addVfio(GPU));
  expect(one.world.kernel.vfio.ownerOf(7)).toBe(vm.process.pid);
  let heldAtEvent: number | undefined = -1;
  machine.onEvent((event) => {
    if (event === 'DEVICE_DELETED') heldAtEvent = one.world.kernel.vfio.ownerOf(7);
  });
  await one.world.clock.advance(100);
  vm.guest.eject('v');
  expect(one.world.kernel.vfio.ownerOf(7)).toBe(vm.process.pid);
  await one.world.clock.advance(100);
  expect(heldAtEvent).toBeUndefined();
  expect(one.world.snapshot()).toBe(before);
});
