import { describe, expect, it } from 'vitest';
import {
  HostControl,
  MdevControl,
  recoverHost,
  type Environment,
  type VfChange,
} from '../../src/index.js';
import { nicFunction, type World } from '../../src/simulator/index.js';
import { createHostWorld, environmentOf, onVm, runTask } from './simulated.js';

const PF = '0000:81:00.0';
const VGPU_PF = '0000:41:00.0';
/** Of mdevctl: one as it writes them, and one that somebody has damaged. */
const [DEFINED, UNTOLD] = [1, 2].map((n) => `00000000-0000-4000-8000-00000000000${n}`) as [
  string,
  string,
];

function make(vfDriver?: string): World {
  return createHostWorld({
    seed: 1,
    guest: { kind: 'linux' },
    host: {
      functions: [
        {
          ...nicFunction({ bdf: PF, group: 9 }),
          sriov: { totalVfs: 8, vfDeviceId: 0x1520, vfDriver: vfDriver ?? 'igbvf' },
        },
        {
          bdf: VGPU_PF,
          group: 20,
          vendorId: 0x10de,
          deviceId: 0x26b5,
          classCode: 0x030200,
          nativeDriver: 'nvidia',
          sriov: {
            totalVfs: 4,
            vfDeviceId: 0x26b5,
            vfDriver: 'nvidia',
            offset: 4,
            stride: 1,
            numVfs: 2,
            vgpuTypes: { '557': 'NVIDIA L40-1B', '558': 'NVIDIA L40-2B' },
          },
        },
      ],
      files: {
        [`/etc/mdevctl.d/mtty/${DEFINED}`]: '{"mdev_type":"mtty-1","start":"auto","attrs":[]}\n',
        [`/etc/mdevctl.d/mtty/${UNTOLD}`]: '{"mdev_type":',
        '/etc/mdevctl.d/scripts.d/callouts/note': 'of no device\n',
      },
      mdevParents: {
        mtty: {
          'mtty-1': { name: 'Single port serial', capacity: 24 },
          'mtty-2': { name: 'Dual port serial', capacity: 24, units: 2 },
        },
      },
    },
  });
}

function onHost<T>(world: World, work: (environment: Environment) => Promise<T>): Promise<T> {
  const process = world.startController();
  return runTask(world, process, () => work(environmentOf(process)));
}

const setVfs = (world: World, count: number, allow: readonly string[] = []) =>
  onHost(world, (environment) => new HostControl(environment).setVfs({ pf: PF, count, allow }));

/** What is on record; a lock of a process that was killed is nobody's, and goes with the next who comes. */
const plansIn = (world: World) =>
  world.store.contents.filter(([name]) => !name.startsWith('locks/'));

describe('virtual functions', () => {
  it('are made without a driver, lent, and removed, with autoprobe as it was', async () => {
    const world = make();
    const before = world.snapshot();
    const { vfs } = await setVfs(world, 2);
    expect(vfs).toMatchObject([{ driver: undefined }, { driver: undefined }]);
    expect(world.kernel.find(PF)?.sriov).toMatchObject({ numVfs: 2, autoprobe: true });
    expect(await setVfs(world, 2)).toMatchObject({ already: true, steps: [] });
    const vf = vfs[0]?.bdf ?? '';
    const ready = world.snapshot();
    await onVm(world, (vm) => vm.attach({ device: vf }));
    await expect(setVfs(world, 0)).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(setVfs(world, 4)).rejects.toMatchObject({ code: 'CONFLICT' });
    await onVm(world, (vm) => vm.detach(vf));
    expect(world.snapshot()).toBe(ready);
    expect((await setVfs(world, 3)).vfs).toHaveLength(3);
    expect(await setVfs(world, 0)).toMatchObject({ vfs: [], already: false });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('get address, VLAN and trust with their making, and again where the change is undone', async () => {
    const world = make();
    const none = world.snapshot();
    const set = (count: number, settings: ReadonlyMap<number, VfChange>) =>
      onHost(world, (environment) =>
        new HostControl(environment).setVfs({ pf: PF, count, settings }),
      );
    const mac = '52:54:00:12:34:56';
    await set(
      2,
      new Map([
        [0, { mac, vlan: 100, trust: true }],
        [1, { spoofCheck: false }],
      ]),
    );
    expect(world.kernel.virtualFunctions.settingsOf('eth0')).toEqual([
      { index: 0, mac, vlan: 100, trust: true, spoofCheck: true },
      { index: 1, mac: '00:00:00:00:00:00', vlan: 0, trust: false, spoofCheck: false },
    ]);
    const two = world.snapshot();
    const settingsOfTwo = world.kernel.virtualFunctions.settingsOf('eth0');
    expect((await set(2, new Map([[0, { vlan: 100 }]]))).steps).toMatchObject([
      { kind: 'ReserveGroup' },
      { kind: 'ReserveGroup' },
      { kind: 'SetVf' },
      { kind: 'ReleaseGroup' },
      { kind: 'ReleaseGroup' },
    ]);
    expect(world.snapshot()).toBe(two);
    // The third cannot be set, so as many come back as there were, as they were.
    world.faults.add({ fault: 'read-fails', at: { path: /eth0\/vfs$/ }, skip: 3 });
    await expect(set(3, new Map([[2, { vlan: 7 }]]))).rejects.toMatchObject({
      code: 'STEP_FAILED',
    });
    expect(world.kernel.virtualFunctions.settingsOf('eth0')).toEqual(settingsOfTwo);
    await onVm(world, (vm) => vm.attach({ device: 'vf vf-index:0 pf-of:0000:81:00.0' }));
    await expect(set(2, new Map([[0, { vlan: 3 }]]))).rejects.toMatchObject({ code: 'CONFLICT' });
    await onVm(world, (vm) => vm.detach('vf vf-index:0 pf-of:0000:81:00.0'));
    await set(0, new Map());
    expect(world.snapshot()).toBe(none);
  });

  it('are as they were or as they were asked to be, wherever setting them up was killed', async () => {
    const asked = new Map<number, VfChange>([
      [0, { mac: '52:54:00:12:34:56', vlan: 100 }],
      [1, { trust: true }],
    ]);
    const settingsOf = (world: World) => [...world.kernel.virtualFunctions.settingsOf('eth0')];
    const set = (environment: Environment, settings: ReadonlyMap<number, VfChange>) =>
      new HostControl(environment).setVfs({ pf: PF, count: 2, settings });
    const wanted = make();
    await onHost(wanted, (environment) => set(environment, asked));
    for (const first of [true, false]) {
      const ends = new Set<string>();
      for (let at = 1; ; at += first ? 7 : 3) {
        const world = make();
        if (!first) await setVfs(world, 2);
        const before = settingsOf(world);
        const process = world.startController();
        process.killAt(at, at % 2 === 0 ? 'before' : 'after');
        const outcome = await world.run(process.run(() => set(environmentOf(process), asked)));
        if (outcome.kind === 'done') break;
        const { open } = await onHost(world, recoverHost);
        expect(open).toEqual([]);
        const end = settingsOf(world);
        expect([before, settingsOf(wanted)], `killed at ${at}`).toContainEqual(end);
        ends.add(JSON.stringify(end));
        expect(plansIn(world)).toEqual([]);
      }
      expect(ends.size).toBe(2);
    }
  }, 120_000);

  it('are not set up where no interface of their function does it', async () => {
    const settings = new Map([[0, { vlan: 7 }]]);
    const asked = onHost(make(), (environment) =>
      new HostControl(environment).setVfs({ pf: VGPU_PF, count: 2, settings }),
    );
    await expect(asked).rejects.toMatchObject({
      code: 'NO_VFS',
      details: { interfaces: [] },
    });
  });

  it('are refused where the function cannot have them, and says why', async () => {
    const world = make();
    await expect(setVfs(world, 9)).rejects.toMatchObject({ code: 'NO_VFS' });
    const { vfs } = await setVfs(world, 1);
    const ofVf = onHost(world, (environment) =>
      new HostControl(environment).setVfs({ pf: vfs[0]?.bdf ?? '', count: 1 }),
    );
    await expect(ofVf).rejects.toMatchObject({
      code: 'NO_VFS',
      message: expect.stringContaining(PF) as string,
    });
    await setVfs(world, 0);
    await onHost(world, (environment) => new HostControl(environment).bind({ devices: [PF] }));
    await expect(setVfs(world, 1)).rejects.toMatchObject({ code: 'NO_VFS' });
  });

  it('stay while one is bound for somebody', async () => {
    const world = make();
    const { vfs } = await setVfs(world, 2);
    const device = vfs[1]?.bdf ?? '';
    await onHost(world, (environment) => new HostControl(environment).bind({ devices: [device] }));
    await expect(setVfs(world, 0)).rejects.toMatchObject({
      code: 'CONFLICT',
      remedy: expect.stringContaining('host release') as string,
    });
    await onHost(world, (environment) =>
      new HostControl(environment).release({ devices: [device] }),
    );
    await setVfs(world, 0);
  });

  it('come back as many as there were when the new number cannot be made', async () => {
    const world = make();
    await setVfs(world, 2);
    world.faults.add({ fault: 'write-fails', at: { path: /sriov_numvfs$/ }, skip: 1 });
    await expect(setVfs(world, 5)).rejects.toMatchObject({ code: 'STEP_FAILED' });
    expect(world.kernel.find(PF)?.sriov).toMatchObject({ numVfs: 2, autoprobe: true });
  });

  it('tells a driver that made fewer from one that made all, and undoes', async () => {
    const world = createHostWorld({
      seed: 1,
      host: {
        functions: [
          {
            ...nicFunction({ bdf: PF, group: 9 }),
            sriov: { totalVfs: 8, vfDeviceId: 0x1520, enablesAtMost: 3 },
          },
        ],
      },
    });
    const before = world.snapshot();
    await expect(setVfs(world, 4)).rejects.toMatchObject({
      code: 'STEP_FAILED',
      details: { code: 'NO_VFS', made: 3 },
    });
    expect(world.snapshot()).toBe(before);
  });

  it('can be killed anywhere on the way, and recover ends it', async () => {
    const ends = new Set<number>();
    for (let at = 1; ; at += 2) {
      const world = make();
      const process = world.startController();
      process.killAt(at, 'after');
      const control = new HostControl(environmentOf(process));
      const outcome = await world.run(process.run(() => control.setVfs({ pf: PF, count: 2 })));
      if (outcome.kind === 'done') break;
      await onHost(world, recoverHost);
      const sriov = world.kernel.find(PF)?.sriov;
      expect(sriov?.autoprobe).toBe(true);
      ends.add(sriov?.numVfs ?? -1);
      expect(plansIn(world)).toEqual([]);
    }
    expect([...ends].sort()).toEqual([0, 2]);
  }, 120_000);
});

describe('mediated devices', () => {
  const create = (world: World, identity: { uuid: string } | { vm: string; name: string }) =>
    onHost(world, (environment) =>
      new MdevControl(environment).create({ parent: 'mtty', type: 'mtty-2', identity }),
    );
  const remove = (world: World, device: string) =>
    onHost(world, (environment) => new MdevControl(environment).remove(device));

  it('are made, lent by UUID, and removed by whoever made them', async () => {
    const world = make();
    const before = world.snapshot();
    const { device } = await create(world, { vm: 'web', name: 'tty0' });
    expect(device).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await create(world, { vm: 'web', name: 'tty0' })).toMatchObject({ already: true });
    const listing = await onHost(world, (environment) => new MdevControl(environment).list());
    expect(listing.types).toContainEqual({
      framework: 'mdev',
      parent: 'mtty',
      type: 'mtty-1',
      name: 'Single port serial',
      available: 22,
    });
    expect(listing.devices).toMatchObject([{ device, parent: 'mtty', type: 'mtty-2' }]);
    expect(listing.definitions).toEqual([
      { uuid: DEFINED, parent: 'mtty', type: 'mtty-1', start: 'auto', active: false },
      { uuid: UNTOLD, parent: 'mtty', type: undefined, start: undefined, active: false },
    ]);
    const made = world.snapshot();
    const refused = onVm(world, (vm) => vm.attach({ device }));
    await expect(refused).rejects.toMatchObject({ code: 'WINDOW_UNKNOWN' });
    const allow = ['unknown-window'];
    await onVm(world, (vm) => vm.attach({ device, allow }));
    const path = `/sys/bus/mdev/devices/${device}`;
    expect(await onVm(world, (vm) => vm.attach({ device: path, allow }))).toMatchObject({
      attachment: { already: true, functions: [{ host: device }] },
    });
    const { attachment } = await onVm(world, (vm) => vm.attach({ device: 'mdev', allow }));
    expect(attachment).toMatchObject({ already: true, functions: [{ host: device }] });
    await expect(remove(world, device)).rejects.toMatchObject({ code: 'CONFLICT' });
    const node = `/dev/vfio/${attachment.group}`;
    expect(await onVm(world, (vm) => vm.detach(node))).toMatchObject({
      removals: [{ state: 'released' }],
    });
    expect(await onVm(world, (vm) => vm.detach(path))).toMatchObject({
      removals: [{ state: 'released' }],
      steps: [],
    });
    expect(world.snapshot()).toBe(made);
    await remove(world, device);
    expect(await remove(world, device)).toMatchObject({ already: true });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('are never removed for somebody else, nor made where none is left', async () => {
    const world = make();
    const foreign = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    world.kernel.mdevs.create('mtty', 'mtty-1', foreign);
    await expect(remove(world, foreign)).rejects.toMatchObject({ code: 'NOT_OURS' });
    await expect(create(world, { uuid: foreign })).rejects.toMatchObject({ code: 'ID_TAKEN' });
    for (let index = 0; index < 23; index += 1) {
      const tail = String(index).padStart(12, '0');
      world.kernel.mdevs.create('mtty', 'mtty-1', `00000000-0000-4000-8000-${tail}`);
    }
    await expect(create(world, { vm: 'a', name: 'b' })).rejects.toMatchObject({ code: 'NO_MDEV' });
  });
});

describe("a vGPU of NVIDIA's, as the simulated kernel has it", () => {
  const control = <T>(world: World, work: (mdev: MdevControl) => Promise<T>) =>
    onHost(world, (environment) => work(new MdevControl(environment)));
  const VF = '0000:41:00.4';

  it('is the VF itself, keeps its driver in a VM, and becomes a VF again', async () => {
    const world = make();
    const before = world.snapshot();
    const { types } = await control(world, (mdev) => mdev.list());
    expect(types).toContainEqual({
      framework: 'nvidia-vendor-vfio',
      parent: VF,
      type: '557',
      name: 'NVIDIA L40-1B',
      available: undefined,
    });
    const made = await control(world, (mdev) => mdev.create({ parent: VF, type: 'NVIDIA L40-2B' }));
    expect(made).toMatchObject({ framework: 'nvidia-vendor-vfio', device: VF });
    expect(world.kernel.find(VF)).toMatchObject({ vgpuType: '558', driver: 'nvidia' });
    await onVm(world, (vm) => vm.attach({ device: VF }));
    expect(world.kernel.find(VF)?.driver).toBe('nvidia');
    await expect(control(world, (mdev) => mdev.remove(VF))).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await onVm(world, (vm) => vm.detach(VF));
    await control(world, (mdev) => mdev.remove(VF));
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it("is not taken away when it is a later owner's", async () => {
    const world = make();
    await control(world, (mdev) => mdev.create({ parent: VF, type: '557' }));
    const fn = world.kernel.find(VF);
    if (fn) fn.vgpuType = '558';
    await expect(control(world, (mdev) => mdev.remove(VF))).rejects.toMatchObject({
      code: 'NOT_OURS',
    });
  });
});
