import { describe, expect, it } from 'vitest';
import { HostControl, type AttachBatchRequest, type BatchEntry } from '../../src/index.js';
import { rootPorts, type FunctionConfig, type World } from '../../src/simulator/index.js';
import { createHostWorld, environmentOf, onVm, openSimulatedVm, runTask } from './simulated.js';

const accelerator = (bdf: string, group: number, more: Partial<FunctionConfig> = {}) => ({
  bdf,
  group,
  vendorId: 0x1da3,
  deviceId: 0x1000,
  classCode: 0x120000,
  nativeDriver: 'habanalabs',
  bars: [{ index: 0, kind: 'pref64' as const, sizeBytes: 1n << 30n }],
  resetMethods: ['flr'],
  ...more,
});
const [A, B, B1, C] = ['0000:05:00.0', '0000:06:00.0', '0000:06:00.1', '0000:07:00.0'];
const ALL: AttachBatchRequest = { device: 'id:1da3:1000', choice: { policy: 'all' } };

function make({ ports = 4, broken = false } = {}): World {
  const world = createHostWorld({
    seed: 1,
    guest: { kind: 'linux' },
    host: {
      functions: [
        accelerator(A, 5),
        accelerator(B, 6),
        accelerator(B1, 6),
        accelerator(C, 7, broken ? { probeErrors: { 'vfio-pci': 'EINVAL' } } : {}),
      ],
    },
    qemu: {
      hotplug: 'acpi',
      monitors: ['unix:/run/vm0.sock'],
      devices: rootPorts(ports, { properties: { 'pref64-reserve': 8n << 30n } }),
      firmware: { windowAlignment: 'natural' },
    },
  });
  return world;
}

const attachAll = (world: World, request: AttachBatchRequest = ALL) =>
  onVm(world, (vm) => vm.attachBatch(request));
const placesOf = (entries: readonly BatchEntry[]) =>
  entries.map((entry) =>
    entry.kind === 'failed'
      ? [entry.devices, entry.error.code]
      : [
          entry.devices,
          entry.result.attachment.functions.map(({ port, addr }) => `${port} ${addr}`),
        ],
  );

describe('a batch', () => {
  it('attaches all that the policy chooses, an attachment for each slot or group', async () => {
    const world = make();
    const before = world.snapshot();
    const entries = await attachAll(world);
    expect(placesOf(entries)).toEqual([
      [[A], ['rp0 0x0']],
      [
        [B, B1],
        ['rp1 0x0.1', 'rp1 0x0'],
      ],
      [[C], ['rp2 0x0']],
    ]);
    // One of them leaves alone.
    expect(await onVm(world, (vm) => vm.detach(A))).toMatchObject({
      removals: [{ id: 'vfio_device_5_0', state: 'released' }],
    });
    const again = await attachAll(world);
    expect(
      again.map((entry) => entry.kind === 'attached' && entry.result.attachment.already),
    ).toEqual([false, true, true]);
    await onVm(world, async (vm) => {
      for (const device of [A, B, C]) await vm.detach(device);
    });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it.each([
    [{ policy: 'first:1' }, [[A]]],
    [{ policy: 'first:1', order: ['-group'] }, [[C]]],
    [{ policy: 'first:1', orElse: ['class:gpu'] }, [[A]]],
    [{ policy: 'exactly:4' }, [[A], [B, B1], [C]]],
  ])('chooses by %j', async (choice, devices) => {
    const entries = await onVm(make(), (vm) =>
      vm.planAttachBatch({ device: 'id:1da3:1000', choice }),
    );
    expect(entries.map((entry) => entry.devices)).toEqual(devices);
    expect(entries.every(({ preview }) => preview.kind === 'plan')).toBe(true);
  });

  it('takes the group of its match along', async () => {
    const entries = await attachAll(make(), { device: B1, choice: { policy: 'group' } });
    expect(entries.map(({ devices }) => devices)).toEqual([[B1, B]]);
    expect(entries).toMatchObject([{ result: { attachment: { functions: [{}, {}] } } }]);
  });

  it('changes nothing where one of them has no port', async () => {
    const world = make({ ports: 2 });
    const before = world.snapshot();
    await expect(attachAll(world)).rejects.toMatchObject({ code: 'NO_FREE_PORT' });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('takes out again what went before the one that fails', async () => {
    const world = make({ broken: true });
    const before = world.snapshot();
    await expect(attachAll(world)).rejects.toMatchObject({
      code: 'BATCH_FAILED',
      details: {
        code: 'STEP_FAILED',
        devices: [
          { devices: [A], outcome: 'undone' },
          { devices: [B, B1], outcome: 'undone' },
          { devices: [C], outcome: 'failed' },
        ],
      },
    });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('keeps what could be attached where that was asked for', async () => {
    const world = make({ broken: true });
    expect(placesOf(await attachAll(world, { ...ALL, partial: true }))).toEqual([
      [[A], ['rp0 0x0']],
      [
        [B, B1],
        ['rp1 0x0.1', 'rp1 0x0'],
      ],
      [[C], 'STEP_FAILED'],
    ]);
  });

  it('can be killed anywhere, and leaves nothing that keeps another away', async () => {
    let kills = 0;
    for (let at = 1; ; at += 127) {
      const world = make();
      const before = world.snapshot();
      const process = world.startController();
      process.killAt(at, at % 2 === 0 ? 'before' : 'after');
      const outcome = await world.run(
        process.run(async () => (await openSimulatedVm(process)).attachBatch(ALL)),
      );
      if (outcome.kind === 'done') break;
      expect(outcome.kind).toBe('killed');
      kills += 1;
      await onVm(world, (vm) => vm.recover());
      // Whatever of it is in the VM is an attachment that is whole, and the rest can be had by anybody at once.
      const entries = await attachAll(world);
      expect(entries.map(({ devices }) => devices)).toEqual([[A], [B, B1], [C]]);
      await onVm(world, async (vm) => {
        for (const device of [A, B, C]) await vm.detach(device);
      });
      expect(world.snapshot(), `killed at ${at}`).toBe(before);
      expect(world.store.contents, `killed at ${at}`).toEqual([]);
    }
    expect(kills).toBeGreaterThan(3);
  }, 120_000);

  it('sets all aside before it touches the first', async () => {
    const world = make();
    const seen: string[] = [];
    const process = world.startController();
    await runTask(world, process, async () => {
      const vm = await openSimulatedVm(process, undefined, () => {
        const held = world.store.contents.filter(([name]) => /^holds\/.*json$/.test(name));
        seen.push(held.map(([name]) => name).join(' '));
      });
      await vm.attachBatch(ALL);
      await vm.close();
    });
    expect(seen[0]).toBe('holds/group-5.json holds/group-6.json holds/group-7.json');
    expect(new Set(seen).size).toBe(1);
  });

  it('changes nothing where a group cannot be had in part', async () => {
    const world = make();
    const before = world.snapshot();
    const choice = { policy: 'group-by:group:first:1' };
    await expect(attachAll(world, { ...ALL, choice })).rejects.toMatchObject({
      code: 'GROUP_NOT_VIABLE',
      details: { culprit: B1 },
    });
    expect(world.snapshot()).toBe(before);
  });

  it('gives a device that was bound before back as it was', async () => {
    const world = make();
    const process = world.startController();
    await runTask(world, process, () =>
      new HostControl(environmentOf(process)).bind({ devices: [A] }),
    );
    const bound = world.snapshot();
    await attachAll(world);
    await onVm(world, async (vm) => {
      for (const device of [A, B, C]) await vm.detach(device);
    });
    expect(world.snapshot()).toBe(bound);
  });
});
