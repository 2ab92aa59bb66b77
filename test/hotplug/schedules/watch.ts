import type { Boundary, JournalEntry } from '../../../src/engine/index.js';
import { parseEntry } from '../../../src/engine/journal.js';
import type { Environment } from '../../../src/hotplug/index.js';
import type { HotplugStep, Subject } from '../../../src/plan/steps.js';
import type { ControllerProcess, VirtualMachine } from '../../../src/simulator/index.js';
import type { Stage } from './stage.js';
import { Violation, type Invariant } from './violation.js';

type Entry = JournalEntry<HotplugStep, Subject>;

const DRIVER_FILES = /\/(?:unbind|bind|driver_override|drivers_probe)$/;
const BDF = /[0-9a-f]{4,}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]/g;

/** Looks at the world from outside while controllers work, and writes down what must not be. */
export class Watch {
  readonly #stage: Stage;
  readonly #violations: Violation[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  report(invariant: Invariant, seen: string): void {
    this.#violations.push(new Violation(invariant, seen));
  }

  /** @throws {Violation} the first that was seen. */
  check(): void {
    const [first] = this.#violations;
    if (first !== undefined) throw first;
  }

  /** A process's environment, seen through. */
  of(process: ControllerProcess, environment: Environment): Environment {
    const { effects } = environment;
    return {
      ...environment,
      effects: {
        ...effects,
        write: (path, data, deadline) => {
          this.#driverWrite(path, data);
          return effects.write(path, data, deadline);
        },
      },
      onBoundary: async (boundary) => {
        await environment.onBoundary?.(boundary);
        if (process.alive) await this.#boundary(boundary, process.pid);
      },
    };
  }

  /** The plans in the journal, read past every seam. */
  async entries(): Promise<readonly Entry[]> {
    const { store } = this.#stage.world;
    const entries: Entry[] = [];
    for (const [name, text] of store.contents) {
      if (name.startsWith('plans/')) entries.push(parseEntry(text, name) as Entry);
    }
    return entries;
  }

  /** Whoever has a device open must have its group reserved. */
  async checkReservations(when: string): Promise<void> {
    for (const fn of this.#stage.world.kernel.functions) {
      const { openedBy, config } = fn;
      const vm = this.#stage.vms.find(({ process }) => process.pid === openedBy);
      if (vm === undefined) continue;
      const text = await this.#stage.world.store.read(`reservations/group-${config.group}.json`);
      const scope = text === undefined ? 'nobody' : scopeIn(text);
      if (isKeyOf(scope, vm)) continue;
      this.report('reserved', `${when}: ${vm.label} has ${fn.bdf}, reserved for ${scope}`);
    }
  }

  #driverWrite(path: string, data: string): void {
    if (!DRIVER_FILES.test(path)) return;
    const named = new Set([...path.matchAll(BDF), ...data.matchAll(BDF)].map(([bdf]) => bdf));
    for (const { bdf, openedBy } of this.#stage.world.kernel.functions) {
      if (openedBy === undefined || !named.has(bdf)) continue;
      this.report('hands-off', `${path} was written while process ${openedBy} has ${bdf}`);
    }
  }

  async #boundary(boundary: Boundary, pid: number): Promise<void> {
    const { store } = this.#stage.world;
    const { planId, turn, at, kind } = boundary;
    const where = `process ${pid}: ${turn} ${kind} ${at}`;
    await this.checkReservations(where);
    this.#checkMappings(where);
    const text = await store.read(`plans/${planId}.jsonl`);
    if (text === undefined) return;
    const { progress } = parseEntry(text, planId) as Entry;
    const holder = await this.#lockHolder(progress.plan.scope);
    if (holder !== pid) this.report('under-lock', `${where}, and the lock is ${holder ?? 'free'}`);
    if (turn === 'undo' && isCommitted(progress)) this.report('forward-only', where);
  }

  /** Each object of iommufd maps the whole memory of the VM and pins it, and so does the groups' container. */
  #checkMappings(when: string): void {
    for (const { machine, label } of this.#stage.vms) {
      const vfio = machine.devices.filter(({ type }) => type.name === 'vfio-pci');
      const ways = new Set(vfio.map(({ properties }) => JSON.stringify(properties.get('iommufd'))));
      if (ways.size > 1) this.report('one-mapping', `${when}: ${label} by ${[...ways].join()}`);
    }
  }

  /** The pid with the lowest number among the living. */
  async #lockHolder(scope: string): Promise<number | undefined> {
    const { store, kernel } = this.#stage.world;
    const drawn = (await store.list(`locks/vm-${scope}`)).flatMap((file) => {
      const [, number, who = '', pid] = /^(\d+)-((\d+)\..*)$/.exec(file) ?? [];
      const living = kernel.processes.get(Number(pid)) !== undefined;
      return number === undefined || !living
        ? []
        : [{ number: Number(number), who, pid: Number(pid) }];
    });
    drawn.sort((a, b) => a.number - b.number || (a.who < b.who ? -1 : 1));
    return drawn[0]?.pid;
  }
}

/** Every device is in its place, or the guest was asked to release one: as the journal has it, whatever the plan says. */
function isCommitted({ plan, steps }: Entry['progress']): boolean {
  const stateOf = (kind: HotplugStep['kind']) =>
    steps.filter((_, index) => plan.steps[index]?.kind === kind).map((step) => step.forward);
  if (plan.kind === 'detach') return stateOf('RemoveDevice').includes('done');
  return stateOf('AddDevice').every((state) => state === 'done');
}

function scopeIn(text: string): string {
  return String((JSON.parse(text) as { readonly scope?: unknown }).scope);
}

/** Whether a VM's key names this very process. */
export function isKeyOf(key: string, { process }: VirtualMachine): boolean {
  return key.endsWith(`-${process.pid}-${process.startTime}`);
}
