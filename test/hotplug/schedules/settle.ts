import {
  listQuarantine,
  recoverHost,
  releaseFromQuarantine,
  type Environment,
} from '../../../src/index.js';
import type { Actors } from './actors.js';
import type { Schedule } from './schedule.js';
import { hostOf, idsIn, type Stage } from './stage.js';
import type { Watch } from './watch.js';

interface Settling {
  readonly stage: Stage;
  readonly watch: Watch;
  readonly actors: Actors;
  /** The host before the schedule. */
  readonly initial: string;
  readonly ending: Schedule['ending'];
  readonly guest: Schedule['guest'];
}

/** Whatever was delayed in a schedule has happened by then. */
const LATEST_MS = 120_000;
/** Five seconds of a native unplug and one for power, or what a slow guest makes of it. */
const PATIENCE_MS = 12_000;
const SLOW_PATIENCE_MS = 40_000;

/** With no more faults: everything out, the VMs ended, the host given back. And then nothing is left. */
export async function settle(settling: Settling): Promise<void> {
  const { stage, watch, actors, ending, initial } = settling;
  const { world } = stage;
  world.faults.stop();
  actors.end();
  // What is late comes now.
  await world.run(world.clock.delay(LATEST_MS));
  await work(settling, (_open, environment) => liftQuarantine(environment));
  if (ending === 'detach') await takeOut(settling);
  for (const vm of stage.vms) vm.kill();
  await work(settling, (_open, environment) => recoverHost(environment));
  checkHost(watch, hostOf(world), initial);
  const left = world.store.contents.map(([name]) => name);
  if (left.length > 0) watch.report('nothing-left', left.join());
}

/** What an operator does once the kernel has come back from a write that hung. */
async function liftQuarantine(environment: Environment): Promise<void> {
  for (const { device } of await listQuarantine(environment)) {
    await releaseFromQuarantine(environment, device);
  }
}

/** Takes out what each VM has. A guest that does not answer keeps it, and that is no fault. */
async function takeOut(settling: Settling): Promise<void> {
  const { stage, watch, initial, guest } = settling;
  const options = { timeoutMs: guest === 'slow' ? SLOW_PATIENCE_MS : PATIENCE_MS };
  for (const index of [0, 1] as const) {
    if (!stage.vm(index).alive) continue;
    await work(settling, async (open) => {
      const vm = await open(index);
      await vm.recover(options);
      for (const id of idsIn(stage.vm(index))) await vm.detach(id, options);
      await vm.close();
    });
  }
  const living = stage.vms.filter((vm) => vm.alive);
  if (living.length < 2 || living.some((vm) => idsIn(vm).size > 0)) return;
  checkHost(watch, hostOf(stage.world), initial);
  for (const { process, machine, label } of living) {
    for (const id of machine.objects.keys()) watch.report('nothing-left', `${id} in ${label}`);
    if (process.memlock.soft === 8_388_608n) continue;
    watch.report('host-restored', `process ${process.pid} may lock ${process.memlock.soft} bytes`);
  }
  const left = stage.world.store.contents
    .map(([name]) => name)
    .filter((name) => !name.startsWith('locks/'));
  if (left.length > 0) watch.report('nothing-left', left.join());
}

/** Runs work that nothing stands in the way of. */
async function work(
  { stage, watch, actors }: Settling,
  task: Parameters<Actors['inProcess']>[0],
): Promise<void> {
  try {
    const outcome = await stage.world.run(actors.inProcess(task));
    if (outcome.kind === 'failed') watch.report('recovers', String(outcome.error));
  } catch (error) {
    watch.report('ends', String(error));
  }
}

function checkHost(watch: Watch, now: string, initial: string): void {
  if (now === initial) return;
  const was = new Set(initial.split('\n'));
  const changed = now.split('\n').filter((line) => !was.has(line));
  watch.report('host-restored', changed.join('; ') || 'something is missing');
}
