import { RefusedError } from '../errors.js';
import type { Clock } from '../clock.js';
import { lookAgain } from './look-again.js';
import { isOwner, type Liveness, type Owner } from './owner.js';
import type { StateStore } from './state-store.js';

/**
 * Locks between processes that no kill leaves behind, fair in order of arrival: Lamport's bakery
 * with one file per contender (L. Lamport, "A New Solution of Dijkstra's Concurrent Programming
 * Problem", 1974).
 *
 *   choosing-<who>        drawing a number; everyone waits for it before comparing
 *   <number>-<who>        waiting or holding; the lowest number among the living holds
 *
 * A file is written by its contender alone and its name is never used again, so whoever finds that
 * the owner is dead may remove it without a race. An owner that cannot be judged counts as living.
 */
export interface LockOptions {
  readonly store: StateStore;
  readonly liveness: Liveness;
  readonly clock: Clock;
}

export interface AcquireOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HeldLock {
  release(): Promise<void>;
}

interface Contender {
  readonly file: string;
  /** Infinity while it draws. */
  readonly number: number;
  readonly who: string;
}

// A dead owner makes no change in the folder, so the waiting look again by themselves.
const LOOK_AGAIN_MS = 250;
const CHOOSING = 'choosing';
const LOCKS = 'locks';
let drawnCount = 0;

/**
 * @throws {RefusedError} `LOCK_TIMEOUT` naming the holder; `ABORTED` when the signal fires.
 */
export async function acquireLock(
  name: string,
  { store, liveness, clock }: LockOptions,
  { deadlineMs, signal }: AcquireOptions,
): Promise<HeldLock> {
  const folder = `${LOCKS}/${name}`;
  const self = await liveness.self();
  drawnCount += 1;
  const who = `${self.pid}.${self.startTime}.${drawnCount}`;
  const drawing = `${folder}/${CHOOSING}-${who}`;
  await store.create(drawing, JSON.stringify(self));
  const others = await contenders(store, folder);
  const number = 1 + Math.max(0, ...others.map((other) => other.number).filter(Number.isFinite));
  const mine: Contender = { file: `${number}-${who}`, number, who };
  await store.rename(drawing, `${folder}/${mine.file}`);
  const held: HeldLock = {
    release: async () => {
      await store.remove(`${folder}/${mine.file}`);
      await store.removeIfEmpty(folder);
    },
  };

  const look = () => firstAhead(store, liveness, folder, mine);
  try {
    if ((await look()) === undefined) return held;
    await waitForTurn({ name, folder, store, clock, deadlineMs, signal, look });
    return held;
  } catch (error) {
    await held.release();
    throw error;
  }
}

/** Removes what killed processes left of their locks. */
export async function sweepLocks({ store, liveness }: Omit<LockOptions, 'clock'>): Promise<void> {
  for (const name of await store.list(LOCKS)) {
    const folder = `${LOCKS}/${name}`;
    for (const file of await store.list(folder)) {
      const owner = await readOwner(store, `${folder}/${file}`);
      const alive = owner && (await liveness.isAlive(owner));
      if (alive?.known === true && !alive.value) await store.remove(`${folder}/${file}`);
    }
    await store.removeIfEmpty(folder);
  }
}

async function waitForTurn(turn: {
  readonly name: string;
  readonly folder: string;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly look: () => Promise<Owner | undefined>;
}): Promise<void> {
  const { name, folder, store, clock, deadlineMs, signal, look } = turn;
  let ahead: Owner | undefined;
  const looked = await lookAgain(
    async () => {
      ahead = await look();
      return ahead === undefined ? 'ours' : undefined;
    },
    {
      ...{ store, clock, signal },
      folders: [folder],
      endsAt: clock.now() + deadlineMs,
      everyMs: LOOK_AGAIN_MS,
    },
  );
  switch (looked.kind) {
    case 'found':
      return;
    case 'aborted':
      throw new RefusedError('ABORTED', `Gave up waiting for the lock ${name}`, {
        cause: signal?.reason as unknown,
      });
    case 'late':
      throw timedOut(name, ahead);
  }
}

function timedOut(name: string, holder: Owner | undefined): RefusedError {
  const pid = holder?.pid;
  return new RefusedError(
    'LOCK_TIMEOUT',
    pid === undefined
      ? `The lock ${name} is held`
      : `The lock ${name} is held by process ${pid} of this program`,
    {
      remedy: 'wait for the other command to end, or give this one a longer --timeout',
      details: { lock: name, pid },
    },
  );
}

async function contenders(store: StateStore, folder: string): Promise<readonly Contender[]> {
  // One listing can miss a file that is renamed meanwhile. Each contender renames once, so it holds
  // still through at least one of two listings in a row.
  const files = new Set([...(await store.list(folder)), ...(await store.list(folder))]);
  return [...files].map((file) => {
    const dash = file.indexOf('-');
    const head = file.slice(0, dash);
    return { file, number: head === CHOOSING ? Infinity : Number(head), who: file.slice(dash + 1) };
  });
}

/** Someone living who goes first or may yet draw a lower number; undefined when it is our turn. */
async function firstAhead(
  store: StateStore,
  liveness: Liveness,
  folder: string,
  mine: Contender,
): Promise<Owner | undefined> {
  for (const other of await contenders(store, folder)) {
    if (other.who === mine.who) continue;
    const drawing = other.number === Infinity;
    const goesFirst =
      other.number < mine.number || (other.number === mine.number && other.who < mine.who);
    if (!drawing && !goesFirst) continue;
    const owner = await readOwner(store, `${folder}/${other.file}`);
    // Gone meanwhile: released, or drawn and renamed; the new name needs a new look.
    if (owner === undefined) return firstAhead(store, liveness, folder, mine);
    const alive = await liveness.isAlive(owner);
    if (!alive.known || alive.value) return owner;
    await store.remove(`${folder}/${other.file}`);
  }
  return undefined;
}

async function readOwner(store: StateStore, file: string): Promise<Owner | undefined> {
  const text = await store.read(file);
  if (text === undefined) return undefined;
  const owner = parseOwner(text);
  if (isOwner(owner)) return owner;
  throw new RefusedError('STATE_DAMAGED', `${store.location}/${file} is not a lock of ours`, {
    remedy: `look at the file and remove it: rm ${store.location}/${file}`,
  });
}

function parseOwner(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
