import { InputError, RefusedError } from '../errors.js';
import { acquireLock, type LockOptions } from './lock.js';
import { isOwner, type Liveness, type Owner } from './owner.js';
import type { StateStore } from './state-store.js';

/**
 * A thing set aside for somebody before any VM has it. It ends at its time, when it is given back, or with the process
 * that it is for, where there is one. What a VM has is a `Reservation`.
 */
export interface Hold {
  /** `group-17`; the same keys as reservations. */
  readonly key: string;
  /** Whom it is for, by a name that people gave. */
  readonly owner: string;
  /** What was in it when it was taken, for the reader. */
  readonly devices: readonly string[];
  /** Milliseconds since 1970; `until` undefined holds till it is given back. A reboot ends both. */
  readonly since: number;
  readonly until: number | undefined;
  /** The process with which it ends; undefined where people asked for it, who need none. */
  readonly process?: Owner | undefined;
}

/** Whether a name can be an owner's; it is shown, compared, and written into commands to run. */
export function isHoldOwner(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name);
}

const FOLDER = 'holds';
const fileOf = (key: string) => `${FOLDER}/${key}.json`;
const DRAFT_SUFFIX = '.next';
const LOCK_DEADLINE_MS = 5_000;

export interface HoldsOptions extends LockOptions {
  /** Milliseconds since 1970; default the system's time. Holds outlive the process, so a monotonic clock will not do. */
  readonly wallClock?: (() => number) | undefined;
}

/** Host-wide holds: a file each, changed under one lock. Those whose time has passed are not there. */
export class Holds {
  readonly #options: HoldsOptions;

  constructor(options: HoldsOptions) {
    this.#options = options;
  }

  async list(): Promise<readonly Hold[]> {
    const { store, liveness } = this.#options;
    return listHolds(store, liveness, this.#now());
  }

  /**
   * Sets all of it aside or nothing. Taking again for the same owner makes the time anew.
   *
   * @param ttlMs undefined holds till it is given back, or to the next boot.
   * @param ends `with-process`: also when this process has ended, however it did.
   * @throws {InputError} `BAD_ARGUMENT`.
   * @throws {RefusedError} `CONFLICT` naming both owners.
   */
  async take(
    wanted: readonly Pick<Hold, 'key' | 'devices'>[],
    owner: string,
    ttlMs: number | undefined,
    ends?: 'with-process',
  ): Promise<readonly Hold[]> {
    checkOwner(owner);
    for (const { key } of wanted) checkKey(key);
    checkDuration(ttlMs);
    return this.#exclusively(async () => {
      const held = new Map((await this.list()).map((hold) => [hold.key, hold]));
      for (const { key } of wanted) {
        const holder = held.get(key);
        if (holder !== undefined && holder.owner !== owner) throw heldBy(holder, owner);
      }
      const since = this.#now();
      const until = ttlMs === undefined ? undefined : since + ttlMs;
      const process = ends === undefined ? undefined : await this.#options.liveness.self();
      const holds = wanted.map(({ key, devices }): Hold => {
        return { key, owner, devices, since, until, process };
      });
      for (const hold of holds) await this.#replace(hold);
      return holds;
    });
  }

  /**
   * Gives back what the owner has, of the keys or of all.
   *
   * @throws {InputError} `BAD_ARGUMENT`.
   */
  async release(owner: string, keys?: ReadonlySet<string>): Promise<readonly Hold[]> {
    checkOwner(owner);
    return this.#exclusively(async () => {
      const mine = (await this.list()).filter(
        (hold) => hold.owner === owner && (keys === undefined || keys.has(hold.key)),
      );
      for (const { key } of mine) await this.#options.store.remove(fileOf(key));
      return mine;
    });
  }

  async #replace(hold: Hold): Promise<void> {
    const { store } = this.#options;
    const draft = `${FOLDER}/${hold.key}${DRAFT_SUFFIX}`;
    await store.create(draft, `${JSON.stringify(hold)}\n`);
    await store.rename(draft, fileOf(hold.key));
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const lock = await acquireLock('holds', this.#options, { deadlineMs: LOCK_DEADLINE_MS });
    try {
      await this.#sweep();
      return await work();
    } finally {
      await lock.release();
    }
  }

  /** Removes what a kill left in the middle of `#replace`, and holds whose time has passed. Only under the lock. */
  async #sweep(): Promise<void> {
    const { store } = this.#options;
    const files = await store.list(FOLDER);
    const drafts = files.filter((file) => file.endsWith(DRAFT_SUFFIX));
    for (const file of drafts) await store.remove(`${FOLDER}/${file}`);
    const valid = new Set((await this.list()).map(({ key }) => fileOf(key)));
    const held = files.filter((file) => file.endsWith('.json')).map((file) => `${FOLDER}/${file}`);
    for (const name of held) if (!valid.has(name)) await store.remove(name);
  }

  #now(): number {
    return (this.#options.wallClock ?? Date.now)();
  }
}

function checkOwner(name: string): void {
  if (isHoldOwner(name)) return;
  throw new InputError('BAD_ARGUMENT', `Not the name of an owner: ${JSON.stringify(name)}`, {
    remedy:
      'begin with a letter or digit, go on with letters, digits, dots, dashes and underscores',
  });
}

/** A key becomes the name of a file. */
function checkKey(key: string): void {
  if (/^[a-z][a-z0-9-]{0,127}$/.test(key)) return;
  throw new InputError('BAD_ARGUMENT', `Not the key of a thing to hold: ${JSON.stringify(key)}`, {
    remedy: 'group-N for an IOMMU group, mdev-UUID for a mediated device',
  });
}

function checkDuration(ttlMs: number | undefined): void {
  if (ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs > 0)) return;
  throw new InputError('BAD_ARGUMENT', `Nothing can be held for ${ttlMs} ms`, {
    remedy: 'give whole milliseconds, at least one; or none, to hold it till it is given back',
  });
}

/**
 * What is set aside at a moment. A process of which it cannot be told whether it lives counts as living.
 *
 * @param now milliseconds since 1970.
 */
export async function listHolds(
  store: StateStore,
  { isAlive }: Pick<Liveness, 'isAlive'>,
  now: number,
): Promise<readonly Hold[]> {
  const files = (await store.list(FOLDER)).filter((file) => file.endsWith('.json')).sort();
  const holds = await Promise.all(
    files.map(async (file) => {
      const name = `${FOLDER}/${file}`;
      const text = await store.read(name);
      return text === undefined ? undefined : parse(text, `${store.location}/${name}`);
    }),
  );
  const valid: Hold[] = [];
  for (const hold of holds) {
    if (hold === undefined || (hold.until !== undefined && hold.until <= now)) continue;
    const alive = hold.process === undefined ? undefined : await isAlive(hold.process);
    if (alive?.known !== true || alive.value) valid.push(hold);
  }
  return valid;
}

/** The refusal for a thing that is set aside for another. */
export function heldBy({ key, owner, until }: Hold, wanted: string): RefusedError {
  const end = until === undefined ? '' : ` until ${new Date(until).toISOString()}`;
  return new RefusedError(
    'CONFLICT',
    `${key} is held for ${owner}${end}; ${wanted} cannot have it`,
    {
      remedy: `if ${owner} needs it no more: qmplug host unreserve --for ${owner}`,
      details: { key, holder: owner, until: until ?? null, wanted },
    },
  );
}

function parse(text: string, name: string): Hold {
  let value: Partial<Hold> | null = null;
  try {
    value = JSON.parse(text) as Partial<Hold> | null;
  } catch {
    // Told below, as anything else that is none.
  }
  const { key, owner, devices, since, until, process } = value ?? {};
  if (
    typeof key === 'string' &&
    typeof owner === 'string' &&
    Array.isArray(devices) &&
    typeof since === 'number' &&
    (until === undefined || typeof until === 'number') &&
    (process === undefined || isOwner(process))
  ) {
    return { key, owner, devices, since, until, process };
  }
  throw new RefusedError('STATE_DAMAGED', `${name} is not a hold of ours`, {
    remedy: `look at the file and remove it: rm ${name}`,
  });
}
