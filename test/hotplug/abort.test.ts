import { expect, it } from 'vitest';
import { openVm, type Vm } from '../../src/index.js';
import { GUESTS, type GuestConfig } from '../../src/simulator/index.js';
import {
  ACCELERATOR,
  ADDRESS,
  createHostWorld,
  environmentOf,
  openSimulatedVm,
  runTask,
  SECOND_ADDRESS,
} from './simulated.js';

const ID = 'vfio_device_5_0';

function bench(guest: GuestConfig = GUESTS.linux, hotplug: 'acpi' | 'native' = 'acpi') {
  const world = createHostWorld({ seed: 1, guest, hotplug });
  const process = world.startController();
  const run = <T>(work: (vm: Vm) => Promise<T>) =>
    runTask(world, process, async () => {
      await using vm = await openSimulatedVm(process);
      return await work(vm);
    });
  return { world, process, run };
}

it('changes nothing where the signal came before anything was begun', async () => {
  const { world, run } = bench();
  const signal = AbortSignal.abort(new Error('enough'));
  await run(async (vm) => {
    const before = world.snapshot();
    const aborted = { name: 'RefusedError', code: 'ABORTED', cause: { message: 'enough' } };
    await expect(vm.attach({ device: ACCELERATOR }, { signal })).rejects.toMatchObject(aborted);
    await expect(vm.detach(ACCELERATOR, { signal })).rejects.toMatchObject(aborted);
    await expect(vm.status({ signal })).rejects.toMatchObject(aborted);
    expect(world.snapshot()).toBe(before);
    expect(world.vm().machine.find(ID)).toBeUndefined();
  });
});

it('lets the steps of a plan run to their end', async () => {
  const { world, process, run } = bench();
  const stop = new AbortController();
  const attached = await runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process, ADDRESS, ({ kind, at }) => {
      if (kind === 'BindDriver' && at === 'after-intent') stop.abort();
    });
    return await vm.attach({ device: ACCELERATOR }, { signal: stop.signal });
  });
  expect(stop.signal.aborted).toBe(true);
  expect(attached.attachment.functions).toMatchObject([{ id: ID }]);
  expect(await run((vm) => vm.inspect())).toMatchObject({
    attachments: [{ functions: [{ id: ID }] }],
  });
});

it('stops waiting for the guest, un-sends nothing, and leaves a removal that a later call finishes', async () => {
  const { world, process, run } = bench(GUESTS.linux, 'native');
  const before = world.snapshot();
  await run((vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
  const stop = new AbortController();
  process.clock.after(1_000, () => {
    stop.abort();
  });
  const startedAt = world.clock.now();
  const stopped = await run((vm) => vm.detach(ACCELERATOR, { signal: stop.signal }));
  expect(stopped).toMatchObject({ removals: [{ id: ID, state: 'pending' }] });
  expect(stopped.pending).toBeDefined();
  expect(world.clock.now() - startedAt).toBeLessThan(3_000);
  // The guest was asked and lets go all the same.
  const { removals } = await run((vm) => vm.detach(ACCELERATOR));
  expect(removals).toMatchObject([{ id: ID, state: 'released' }]);
  expect(world.snapshot()).toBe(before);
});

it('stops waiting for the BARs, and the device stays attached', async () => {
  const { world, process, run } = bench({ ...GUESTS.linux, placesBars: false });
  const stop = new AbortController();
  process.clock.after(500, () => {
    stop.abort();
  });
  const { pending, attachment } = await run((vm) =>
    vm.attach({ device: ACCELERATOR, wait: 'placed' }, { signal: stop.signal }),
  );
  expect(pending).toContain(`BAR 0 of ${ID}`);
  expect(attachment.functions).toMatchObject([{ id: ID }]);
  expect(world.vm().machine.find(ID)).toBeDefined();
});

it('stops waiting for the lock that another process holds', async () => {
  const { world, process } = bench();
  const other = world.startController();
  await runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    const stop = new AbortController();
    const holding = openVm(SECOND_ADDRESS, {
      environment: environmentOf(other, async ({ kind, at }) => {
        if (kind !== 'AddDevice' || at !== 'before-intent') return;
        const waiting = vm.attach({ device: ACCELERATOR }, { signal: stop.signal });
        other.clock.after(100, () => {
          stop.abort();
        });
        await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
      }),
      transport: () => other.connect(SECOND_ADDRESS),
      identity: vm.identity,
    });
    const holder = await holding;
    await holder.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' });
    await holder.close();
    expect(world.vm().machine.find(ID)).toBeUndefined();
    expect(world.vm().machine.find('d0')).toBeDefined();
  });
});
