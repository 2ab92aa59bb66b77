import { QmplugError, RefusedError } from '../errors.js';
import { isOwner, type Owner } from './owner.js';
import type { Plan, PlanProgress, StepProgress } from './plan.js';
import type { StateStore } from './state-store.js';
import type { StepData } from './step.js';

/**
 * What happened to a plan, a line at a time: the header with the plan and its runner, then one line
 * before and one after each effect. A plan's file lives as long as anything of it is in the world.
 *
 *   {"v":1,"plan":{...},"runner":{...}}
 *   {"step":0,"turn":"do","state":"intended","record":{...}}
 *   {"step":0,"turn":"do","state":"done","ms":1.2}
 *   {"back":"<the first failure>"}          from here on steps are undone
 *   {"runner":{...}}                        another process went on
 *   {"end":"done"}
 */
export type JournalLine =
  | {
      readonly step: number;
      readonly turn: 'do' | 'undo';
      readonly state: 'intended' | 'done' | 'failed' | 'unknown' | 'waiting';
      readonly record?: unknown;
      readonly ms?: number;
      readonly error?: string;
    }
  | { readonly back: string }
  | { readonly runner: Owner }
  | { readonly end: 'done' | 'undone' };

/** A plan in the journal, with who ran it last. */
export interface JournalEntry<S extends StepData = StepData, T = unknown> {
  readonly progress: PlanProgress<S, T>;
  readonly runner: Owner;
}

const VERSION = 1;

interface Header {
  readonly v: typeof VERSION;
  readonly plan: Plan;
  readonly runner: Owner;
}

const FOLDER = 'plans';
const SUFFIX = '.jsonl';
const fileOf = (planId: string) => `${FOLDER}/${planId}${SUFFIX}`;

/** Whose plan it is stays as it is written first, so whoever has read it once need not do so again. */
const knownScopes = new WeakMap<StateStore, Map<string, string>>();

/** Plans in flight and the attachments they left, in a state store. */
export class Journal {
  readonly #store: StateStore;
  readonly #scopes: Map<string, string>;

  constructor(store: StateStore) {
    this.#store = store;
    this.#scopes = knownScopes.get(store) ?? new Map<string, string>();
    knownScopes.set(store, this.#scopes);
  }

  /** Where the files are, for messages. */
  get location(): string {
    return this.#store.location;
  }

  /** Writes the header; nothing may be changed before this has returned. */
  async open(plan: Plan, runner: Owner): Promise<void> {
    const header: Header = { v: VERSION, plan, runner };
    if (!(await this.#store.create(fileOf(plan.id), `${JSON.stringify(header)}\n`))) {
      throw new QmplugError('STATE_DAMAGED', `The journal already has a plan ${plan.id}`);
    }
  }

  async append(planId: string, line: JournalLine): Promise<void> {
    // A torn line of a killed writer has no end: the newline in front keeps it apart from this one.
    await this.#store.append(fileOf(planId), `\n${JSON.stringify(line)}\n`);
  }

  /** The plan as it stands, or undefined when it is not in the journal (any more). */
  async read(planId: string): Promise<JournalEntry | undefined> {
    const text = await this.#store.read(fileOf(planId));
    return text === undefined ? undefined : parseEntry(text, `${this.location}/${fileOf(planId)}`);
  }

  /** All plans, oldest first by id. */
  async list(): Promise<readonly JournalEntry[]> {
    return this.#readAll(await this.#ids());
  }

  /** The plans of one scope, oldest first by id: what others have in flight is not read twice. */
  async listOf(scope: string): Promise<readonly JournalEntry[]> {
    const ids = await this.#ids();
    const present = new Set(ids);
    for (const id of this.#scopes.keys()) if (!present.has(id)) this.#scopes.delete(id);
    const perhapsMine = ids.filter((id) => (this.#scopes.get(id) ?? scope) === scope);
    const entries = await this.#readAll(perhapsMine);
    return entries.filter(({ progress }) => progress.plan.scope === scope);
  }

  /** Forgets a plan of which nothing is left in the world. */
  async forget(planId: string): Promise<void> {
    await this.#store.remove(fileOf(planId));
  }

  async #ids(): Promise<readonly string[]> {
    const files = [...(await this.#store.list(FOLDER))].sort();
    return files
      .filter((file) => file.endsWith(SUFFIX))
      .map((file) => file.slice(0, -SUFFIX.length));
  }

  async #readAll(ids: readonly string[]): Promise<readonly JournalEntry[]> {
    const entries = await Promise.all(
      ids.map(async (id) => {
        const entry = await this.read(id);
        if (entry !== undefined) this.#scopes.set(id, entry.progress.plan.scope);
        return entry;
      }),
    );
    return entries.filter((entry) => entry !== undefined);
  }
}

/** Folds the lines of one file; a torn last line counts as not written. */
export function parseEntry(text: string, name: string): JournalEntry {
  const [first = '', ...rest] = text.split('\n');
  const header = parseLine(first);
  if (!isHeader(header)) throw unreadablePlan(name, header);
  let entry: JournalEntry = {
    runner: header.runner,
    progress: {
      plan: header.plan,
      steps: header.plan.steps.map(() => UNTOUCHED),
      committed: false,
      turnedBack: undefined,
      ended: undefined,
    },
  };
  for (const text of rest) {
    const line = parseLine(text);
    if (isObject(line)) entry = foldLine(entry, line as JournalLine);
  }
  return entry;
}

/** Whatever the file recorded may be in a VM or bound to VFIO: only who wrote it could tell. */
function unreadablePlan(name: string, header: unknown): RefusedError {
  const { v } = (isObject(header) ? header : {}) as { readonly v?: unknown };
  if (typeof v === 'number' && v !== VERSION) {
    const written = `${name} is of version ${v} of the journal; this qmplug reads ${VERSION}`;
    return new RefusedError('STATE_DAMAGED', written, {
      remedy: 'use the qmplug that wrote it: what it recorded can be taken back by that one alone',
    });
  }
  return new RefusedError('STATE_DAMAGED', `${name} does not begin with a plan`, {
    remedy:
      'what it recorded may still be in a VM or bound to VFIO: look at it and at qmplug devices, ' +
      `then put it aside: mv ${name} ${name}.damaged`,
  });
}

const UNTOUCHED: StepProgress = {
  forward: 'untouched',
  backward: 'untouched',
  record: undefined,
  ms: 0,
};

function parseLine(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isHeader(value: unknown): value is Header {
  if (!isObject(value)) return false;
  const { v, plan, runner } = value as Partial<Header>;
  return v === VERSION && isPlan(plan) && isOwner(runner);
}

function isPlan(value: unknown): value is Plan {
  if (!isObject(value)) return false;
  const { id, steps, commit } = value as Partial<Plan>;
  return (
    typeof id === 'string' && Array.isArray(steps) && steps.every(isObject) && isObject(commit)
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function foldLine(entry: JournalEntry, line: JournalLine): JournalEntry {
  if ('runner' in line) return { ...entry, runner: line.runner };
  const { progress } = entry;
  const withProgress = (change: Partial<PlanProgress>): JournalEntry => ({
    ...entry,
    progress: foldProgress(progress, change),
  });
  if ('back' in line) return withProgress({ turnedBack: line.back });
  if ('end' in line) return withProgress({ ended: line.end });
  return withProgress({ steps: foldStep(progress.steps, line) });
}

/** Applies a change and derives the commit point from the steps. */
export function foldProgress(progress: PlanProgress, change: Partial<PlanProgress>): PlanProgress {
  const next = { ...progress, ...change };
  const { step, at } = next.plan.commit;
  const reached = next.steps[step]?.forward ?? 'untouched';
  // A step that definitely failed did nothing: an intention is taken back by it.
  const begun = reached !== 'untouched' && reached !== 'failed';
  return { ...next, committed: at === 'done' ? reached === 'done' : begun };
}

/** Applies one line about a step. */
export function foldStep(
  steps: readonly StepProgress[],
  line: Extract<JournalLine, { readonly step: number }>,
): readonly StepProgress[] {
  return steps.map((step, index) => {
    if (index !== line.step) return step;
    return {
      ...step,
      [line.turn === 'do' ? 'forward' : 'backward']: line.state,
      record: line.record ?? step.record,
      ms: step.ms + (line.ms ?? 0),
    };
  });
}
