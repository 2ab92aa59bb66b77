import { describe, expect, it } from 'vitest';
import {
  HostControl,
  listQuarantine,
  recoverHost,
  releaseFromQuarantine,
  type Environment,
} from '../../src/index.js';
import type { World } from '../../src/simulator/index.js';
import {
  ACCELERATOR,
  AUDIO,
  createHostWorld,
  environmentOf,
  GPU,
  onVm,
  runTask,
} from './simulated.js';

const make = () => createHostWorld({ seed: 1, guest: { kind: 'linux' } });

/** Runs work on the host in a process of its own. */
function onHost<T>(
  world: World,
  work: (control: HostControl, environment: Environment) => Promise<T>,
): Promise<T> {
  const process = world.startController();
  const environment = environmentOf(process);
  return runTask(world, process, () => work(new HostControl(environment), environment));
}

describe('bind and release', () => {
  it('bind for whoever comes, and give back exactly what was', async () => {
    const world = make();
    const before = world.snapshot();
    const bound = await onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    expect(bound.bound).toEqual([
      { bdf: ACCELERATOR, group: 5, driver: 'vfio-pci', already: false },
    ]);
    expect(world.kernel.find(ACCELERATOR)).toMatchObject({
      driver: 'vfio-pci',
      driverOverride: 'vfio-pci',
    });
    const again = await onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    expect(again).toMatchObject({ bound: [{ already: true }], steps: [] });
    const released = await onHost(world, (host) => host.release({ devices: [ACCELERATOR] }));
    expect(released.released).toEqual([
      { bdf: ACCELERATOR, state: 'released', driver: 'habanalabs' },
    ]);
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
    const twice = await onHost(world, (host) => host.release({ devices: [ACCELERATOR] }));
    expect(twice.released).toEqual([{ bdf: ACCELERATOR, state: 'already', driver: 'habanalabs' }]);
  });

  it('take all or none, and give back one by one', async () => {
    const world = make();
    const before = world.snapshot();
    world.faults.add({
      fault: 'write-fails',
      at: { path: /drivers\/vfio-pci\/bind$/ },
      skip: 2,
    });
    const devices = [ACCELERATOR, GPU];
    const binding = onHost(world, (host) => host.bind({ devices, members: 'slot' }));
    await expect(binding).rejects.toMatchObject({ code: 'STEP_FAILED' });
    expect(world.snapshot()).toBe(before);
    await onHost(world, (host) => host.bind({ devices, members: 'slot' }));
    await onHost(world, (host) => host.release({ devices: [GPU] }));
    expect(world.kernel.find(GPU)?.driver).toBe('nvidia');
    expect(world.kernel.find(AUDIO)?.driver).toBe('vfio-pci');
    const { released } = await onHost(world, (host) =>
      host.release({ devices: [AUDIO, GPU, ACCELERATOR] }),
    );
    expect(released.map(({ bdf, state }) => `${bdf} ${state}`)).toEqual([
      `${AUDIO} released`,
      `${ACCELERATOR} released`,
      `${GPU} already`,
    ]);
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('leave a device ready for a VM, which gives it back as it found it', async () => {
    const world = make();
    const before = world.snapshot();
    await onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    const ready = world.snapshot();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    const held = onHost(world, (host) => host.release({ devices: [ACCELERATOR] }));
    await expect(held).rejects.toMatchObject({ code: 'CONFLICT' });
    await onVm(world, (vm) => vm.detach(ACCELERATOR));
    expect(world.snapshot()).toBe(ready);
    await onHost(world, (host) => host.release({ devices: [ACCELERATOR] }));
    expect(world.snapshot()).toBe(before);
  });

  it('refuse what a VM has and what somebody else bound', async () => {
    const world = make();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    const bind = onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    await expect(bind).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(
      onHost(world, (host) => host.release({ devices: [ACCELERATOR] })),
    ).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    const foreign = world.kernel.find(GPU);
    if (foreign) foreign.driver = 'vfio-pci';
    await expect(onHost(world, (host) => host.release({ devices: [GPU] }))).rejects.toMatchObject({
      code: 'NOT_OURS',
    });
  });

  it('refuse a group with what the host is made of, unless that is allowed by its name', async () => {
    const common = { group: 9, vendorId: 0x8086, resetMethods: [] };
    const world = createHostWorld({
      seed: 1,
      host: {
        functions: [
          { ...common, bdf: '0000:00:1f.3', deviceId: 0xa348, classCode: 0x040300 },
          {
            ...common,
            bdf: '0000:00:1f.4',
            deviceId: 0xa323,
            classCode: 0x0c0500,
            nativeDriver: 'i801_smbus',
          },
        ],
      },
    });
    const before = world.snapshot();
    const bind = (allow: readonly string[]) =>
      onHost(world, (host) => host.bind({ devices: ['0000:00:1f.3'], members: 'group', allow }));
    await expect(bind([])).rejects.toMatchObject({
      code: 'DENIED',
      details: { device: '0000:00:1f.4', rule: 'deny.smbus' },
    });
    expect(world.snapshot()).toBe(before);
    expect((await bind(['deny.smbus'])).bound).toHaveLength(2);
  });

  it('refuse a group that is not viable, and no device at all', async () => {
    const world = make();
    const alone = onHost(world, (host) => host.bind({ devices: [GPU] }));
    await expect(alone).rejects.toMatchObject({ code: 'GROUP_NOT_VIABLE' });
    const none = onHost(world, (host) => host.bind({ devices: [] }));
    await expect(none).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  it('can be killed anywhere, and recover ends what was begun', async () => {
    const operations = { bind: 0, release: 0 };
    for (const what of ['bind', 'release'] as const) {
      for (let at = 1; ; at += 3) {
        const world = make();
        const before = world.snapshot();
        if (what === 'release') {
          await onHost(world, (host) => host.bind({ devices: [GPU], members: 'slot' }));
        }
        const process = world.startController();
        process.killAt(at, at % 2 === 0 ? 'before' : 'after');
        const host = new HostControl(environmentOf(process));
        const outcome = await world.run(
          process.run<unknown>(() =>
            what === 'bind'
              ? host.bind({ devices: [GPU], members: 'slot' })
              : host.release({ devices: [GPU, AUDIO] }),
          ),
        );
        if (outcome.kind === 'done') break;
        operations[what] += 1;
        expect(outcome.kind).toBe('killed');
        const { open } = await onHost(world, (_, environment) => recoverHost(environment));
        expect(open).toEqual([]);
        await onHost(world, (control) => control.release({ devices: [GPU, AUDIO] }));
        expect(world.snapshot(), `${what} killed at ${at}`).toBe(before);
        expect(world.store.contents).toEqual([]);
      }
    }
    expect(operations.bind).toBeGreaterThan(20);
    expect(operations.release).toBeGreaterThan(20);
  }, 120_000);

  it('close the record of a device that has left the host', async () => {
    const world = make();
    await onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    world.kernel.vanish(ACCELERATOR);
    const { released } = await onHost(world, (host) => host.release({ devices: [ACCELERATOR] }));
    expect(released).toEqual([{ bdf: ACCELERATOR, state: 'released', driver: undefined }]);
    expect(world.store.contents).toEqual([]);
  });

  it('forget with the boot what was bound in it', async () => {
    const world = make();
    await onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    const rebooted = createHostWorld({
      seed: 1,
      host: { ...world.kernel.config, bootId: '00000000-1111-4222-8333-444444444444' },
    });
    for (const [name, text] of world.store.contents) await rebooted.store.create(name, text);
    const { released } = await onHost(rebooted, (host) => host.release({ devices: [ACCELERATOR] }));
    expect(released).toMatchObject([{ state: 'already' }]);
    expect(rebooted.store.contents).toEqual([]);
  });
});

describe('quarantine', () => {
  it('bars a device after a write that never came back, in every process', async () => {
    const world = make();
    world.faults.add({ fault: 'write-hangs', at: { path: /habanalabs|driver\/unbind/ } });
    const binding = onHost(world, (host) => host.bind({ devices: [ACCELERATOR] }));
    await expect(binding).rejects.toMatchObject({ code: 'ROLLBACK_FAILED' });
    const [entry] = await onHost(world, (_, environment) => listQuarantine(environment));
    expect(entry).toMatchObject({ device: ACCELERATOR, why: 'stuck', binding: null });
    const before = world.snapshot();
    for (const attempt of [
      onHost(world, (host) => host.bind({ devices: [ACCELERATOR] })),
      onVm(world, (vm) => vm.attach({ device: ACCELERATOR })),
    ]) {
      await expect(attempt).rejects.toMatchObject({ code: 'QUARANTINED' });
    }
    expect(world.snapshot()).toBe(before);
    const { open } = await onHost(world, (_, environment) => recoverHost(environment));
    expect(open).toMatchObject([{ outcome: 'stopped' }]);

    const lift = () =>
      onHost(world, (_, environment) => releaseFromQuarantine(environment, ACCELERATOR));
    expect(await lift()).toMatchObject({ already: false });
    expect(await lift()).toMatchObject({ already: true });
    const { undone } = await onHost(world, (_, environment) => recoverHost(environment));
    expect(undone).toMatchObject([{ kind: 'bind', ids: [ACCELERATOR] }]);
    expect(world.kernel.find(ACCELERATOR)).toMatchObject({
      driver: 'habanalabs',
      driverOverride: undefined,
    });
    expect(world.store.contents).toEqual([]);
  });

  it('keeps a device that died in a VM from its driver until it answers again', async () => {
    const world = make();
    const before = world.snapshot();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    const fn = world.kernel.find(ACCELERATOR);
    if (fn === undefined) throw new Error('no accelerator');
    fn.dead = true;
    const { removals } = await onVm(world, (vm) => vm.detach(ACCELERATOR));
    expect(removals).toMatchObject([{ state: 'quarantined' }]);
    expect(fn.driver).toBe('vfio-pci');
    const lift = () =>
      onHost(world, (_, environment) => releaseFromQuarantine(environment, '05:00.0'));
    await expect(lift()).rejects.toMatchObject({ code: 'QUARANTINED' });
    fn.dead = false;
    expect(await lift()).toMatchObject({ device: ACCELERATOR, already: false });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('goes back into quarantine where the driver does not take it', async () => {
    const world = make();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    const fn = world.kernel.find(ACCELERATOR);
    if (fn === undefined) throw new Error('no accelerator');
    fn.dead = true;
    await onVm(world, (vm) => vm.detach(ACCELERATOR));
    fn.dead = false;
    world.faults.add({ fault: 'write-fails', at: { path: /drivers\/habanalabs\/bind$/ } });
    const lift = onHost(world, (_, environment) => releaseFromQuarantine(environment, ACCELERATOR));
    await expect(lift).rejects.toMatchObject({ code: 'STEP_FAILED' });
    const entries = await onHost(world, (_, environment) => listQuarantine(environment));
    expect(entries).toMatchObject([{ device: ACCELERATOR, why: 'dead' }]);
  });
});
