import { expect, it } from 'vitest';
import type { FaultRule } from '../../src/simulator/index.js';
import { vfioAddDeadlineMs } from '../../src/plan/deadlines.js';
import { ACCELERATOR, createHostWorld, openSimulatedVm, runTask } from './simulated.js';

const ID = 'vfio_device_5_0';
const SECOND = 1_000;
/** 1 GiB of BAR; the simulated VM has 512 MiB of RAM. */
const DEADLINE_MS = vfioAddDeadlineMs(512n << 20n, [
  { index: 0, kind: 'pref64', sizeBytes: 1n << 30n },
]);

const lateBy = (delayMs: number): FaultRule => ({
  fault: 'late-reply',
  at: { command: 'device_add' },
  delayMs,
});

it('gives a device_add as long as the RAM and the BARs may take', () => {
  const gpu = [{ index: 1, kind: 'pref64' as const, sizeBytes: 128n << 30n }];
  expect(vfioAddDeadlineMs(1n << 40n, gpu)).toBeGreaterThan(300 * SECOND);
  expect(vfioAddDeadlineMs(undefined, [])).toBe(vfioAddDeadlineMs(1n << 40n, []));
  expect(DEADLINE_MS).toBeGreaterThan(30 * SECOND);
  expect(DEADLINE_MS).toBeLessThan(40 * SECOND);
});

it('waits for a slow one, past the deadline of any other command', async () => {
  const world = createHostWorld({ seed: 1, faults: { rules: [lateBy(25 * SECOND)] } });
  const process = world.startController();
  const { attachment } = await runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    return await vm.attach({ device: ACCELERATOR });
  });
  expect(attachment.functions).toMatchObject([{ id: ID }]);
});

it('finds out what one past its deadline did, and the next command is not taken for its answer', async () => {
  const world = createHostWorld({ seed: 1, faults: { rules: [lateBy(DEADLINE_MS + 5 * SECOND)] } });
  const before = world.snapshot();
  const process = world.startController();
  await runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    const first = await vm.attach({ device: ACCELERATOR }).catch((error: unknown) => error);
    // QEMU had taken it, so the look finds it there; where QEMU does not answer, the state is unknown.
    const settled = first instanceof Error ? { code: 'STATE_UNKNOWN' } : { pending: undefined };
    expect(first).toMatchObject(settled);
    await vm.recover();
    const { attachments } = await vm.inspect();
    const ids = attachments.flatMap(({ functions }) => functions.map(({ id }) => id));
    expect(ids).toEqual(world.vm().machine.find(ID) ? [ID] : []);
    await vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' });
    expect((await vm.detach('d0')).removals).toMatchObject([{ id: 'd0', state: 'unplugged' }]);
    await vm.detach(ACCELERATOR);
  });
  expect(world.snapshot()).toBe(before);
});
