import type { AttachResult } from '../../../src/index.js';
import { resetMachine } from '../../../src/simulator/qemu/hotplug.js';
import type { TaskOutcome } from '../../../src/simulator/index.js';
import { Actors, type Plant } from './actors.js';
import type { Action, Command, Happening, Schedule } from './schedule.js';
import { settle } from './settle.js';
import { hostOf, idsIn, idsOf, monitorsOf, Stage } from './stage.js';
import { checkAnswer, reservationsIn } from './truth.js';
import { isKeyOf, Watch } from './watch.js';

/** Longest that any command may take in virtual time, whatever goes wrong. */
const FOR_EVER_MS = 1_800_000;
const PAUSE_MS = 3_000;
const OCCUPIED_MS = 7_000;
const RESTART_MS = 400;

/**
 * Runs a schedule against the real controller in a simulated world.
 *
 * @throws {Violation} as soon as an invariant does not hold.
 */
export async function runSchedule(schedule: Schedule, plant: Plant = {}): Promise<void> {
  const run = new ScheduleRun(schedule, plant);
  try {
    await run.play();
  } catch (error) {
    if (process.env['QMPLUG_TRACE'] !== undefined) process.stderr.write(`${run.trace}\n`);
    throw error;
  }
}

function isCommand(action: Action): action is Command {
  return 'timeoutMs' in action;
}

/** One schedule on its stage. */
class ScheduleRun {
  readonly #schedule: Schedule;
  readonly #stage: Stage;
  readonly #watch: Watch;
  readonly #actors: Actors;
  /** `<pid> <id>`: somebody asked for it to leave that VM, or its attach did not get done. */
  readonly #mayLeave = new Set<string>();
  /** Devices of detaches under way, once for each. */
  readonly #leaving: string[] = [];
  /** Devices of the detaches of this batch, begun in any order. */
  readonly #detached = new Set<string>();
  #calm: boolean;
  #leavesByItself: boolean;

  constructor(schedule: Schedule, plant: Plant) {
    this.#schedule = schedule;
    this.#stage = new Stage(schedule);
    this.#watch = new Watch(this.#stage);
    this.#actors = new Actors(this.#stage, this.#watch, plant);
    this.#calm = true;
    this.#leavesByItself = schedule.guest === 'ejecting';
  }

  /** What happened so far, a line each. */
  get trace(): string {
    return this.#stage.world.trace.toString();
  }

  async play(): Promise<void> {
    const { world } = this.#stage;
    const initial = hostOf(world);
    for (const batch of this.#schedule.batches) {
      const before = this.#stage.vms.map((vm) => ({ vm, ids: idsIn(vm) }));
      this.#detached.clear();
      const acting = batch.map((action, place) => this.#act(action, place, batch));
      try {
        await world.run(Promise.all(acting), FOR_EVER_MS);
      } catch (error) {
        this.#watch.check();
        this.#watch.report(
          'ends',
          error instanceof Error ? (error.stack ?? error.message) : String(error),
        );
      }
      this.#watch.check();
      await this.#checkQuiet(before);
      this.#watch.check();
    }
    await settle({
      stage: this.#stage,
      watch: this.#watch,
      actors: this.#actors,
      initial,
      ending: this.#schedule.ending,
      guest: this.#schedule.guest,
    });
    this.#watch.check();
  }

  async #act(action: Action, place: number, batch: readonly Action[]): Promise<void> {
    const { world } = this.#stage;
    if (action.afterMs > 0) await world.clock.delay(action.afterMs);
    if (isCommand(action)) await this.#command(action, place, batch.length === 1);
    else await this.#happen(action);
  }

  async #command(command: Command, place: number, alone: boolean): Promise<void> {
    const vm = this.#stage.vm(command.vm);
    const before = idsIn(vm);
    const reservedBefore = reservationsIn(this.#stage.world);
    const names = idsOf(command.target).map((id) => `${vm.process.pid} ${id}`);
    if (command.kind === 'detach') {
      this.#allow(names);
      this.#leaving.push(...names);
      for (const name of names) this.#detached.add(name);
    }
    if (command.killAt !== undefined) this.#calm = false;
    const outcome = await this.#actors.run(command, place);
    if (command.kind === 'detach')
      this.#leaving.splice(this.#leaving.indexOf(names[0] ?? ''), names.length);
    this.#noteFaults();
    if (command.kind === 'attach') this.#noteAttach(names, outcome);
    await checkAnswer(this.#stage, this.#watch, command, outcome, {
      vm,
      alone,
      calm: this.#calm,
      leavesByItself: this.#leavesByItself,
      before,
      reservedBefore,
    });
  }

  /**
   * What did not get done undoes itself, now or in a later recovery; what did may not leave any more, unless a
   * detach of the same batch has asked for it, and be it over: it may have ended as pending. Which of the two
   * came first cannot be told by when they began.
   */
  #noteAttach(names: readonly string[], outcome: TaskOutcome<unknown>): void {
    if (outcome.kind !== 'done') this.#allow(names);
    else {
      const { attachment } = outcome.value as AttachResult;
      const inside = new Set(attachment.functions.map(({ id }) => id));
      for (const name of names) {
        if (this.#detached.has(name)) continue;
        const isIn = inside.has(name.slice(name.indexOf(' ') + 1));
        if (isIn && !this.#leaving.includes(name)) this.#mayLeave.delete(name);
      }
    }
  }

  #allow(names: readonly string[]): void {
    for (const name of names) this.#mayLeave.add(name);
  }

  #noteFaults(): void {
    const { struck } = this.#stage.world.faults;
    if (struck.length > 0) this.#calm = false;
    if (struck.includes('guest-ejects')) this.#leavesByItself = true;
  }

  async #happen({ kind, vm: index, target }: Happening): Promise<void> {
    const { world } = this.#stage;
    const vm = this.#stage.vm(index);
    if (!vm.alive) return;
    switch (kind) {
      case 'reset':
        resetMachine(vm.machine, false);
        return;
      case 'pause':
        vm.machine.stop();
        await world.clock.delay(PAUSE_MS);
        if (vm.alive) vm.machine.cont();
        return;
      case 'vm-dies':
        this.#calm = false;
        vm.kill();
        await world.clock.delay(RESTART_MS);
        this.#stage.startVm(index);
        return;
      case 'occupied':
        return this.#occupy(monitorsOf(index)[0] ?? '');
      case 'ejects':
        this.#leavesByItself = true;
        for (const id of idsOf(target)) vm.guest.eject(id);
        return;
    }
  }

  /** A client that is none of ours sits on a monitor. */
  async #occupy(address: string): Promise<void> {
    const { world } = this.#stage;
    try {
      const transport = world.connect(address);
      transport.start({ onData: () => undefined, onClose: () => undefined });
      await world.clock.delay(OCCUPIED_MS);
      transport.close();
    } catch {
      // Others wait in line already: it leaves again.
    }
  }

  /** What is true whatever happened, with nobody at work. */
  async #checkQuiet(
    before: readonly { readonly vm: Stage['vms'][number]; readonly ids: ReadonlySet<string> }[],
  ): Promise<void> {
    const entries = await this.#watch.entries();
    await this.#watch.checkReservations('with nobody at work');
    for (const vm of this.#stage.vms.filter(({ alive }) => alive)) {
      const known = entries
        .filter(({ progress }) => isKeyOf(progress.plan.scope, vm))
        .flatMap(({ progress: { plan } }) => plan.steps)
        .flatMap((step) => (step.kind === 'AddDevice' ? [step.id] : []));
      for (const id of idsIn(vm)) {
        if (!known.includes(id)) this.#watch.report('no-phantom', `${vm.label} has ${id}`);
      }
    }
    for (const { vm, ids } of before) {
      if (!vm.alive || this.#leavesByItself) continue;
      for (const id of ids) {
        if (idsIn(vm).has(id) || this.#mayLeave.has(`${vm.process.pid} ${id}`)) continue;
        this.#watch.report('nothing-unasked', `${id} left ${vm.label}`);
      }
    }
  }
}
