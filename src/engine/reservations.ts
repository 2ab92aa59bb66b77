import { RefusedError } from '../errors.js';
import type { StateStore } from './state-store.js';

/**
 * Who has a thing that only one VM may have at a time. It names plans rather than processes: while a
 * plan runs the thing belongs to the plan's runner, once attached to the VM, and the journal tells
 * which. Several plans of one VM may share it.
 */
export interface Reservation {
  /** `group-17`; safe in a file name. */
  readonly key: string;
  /** The VM's key. */
  readonly scope: string;
  /** The attach plans that took it. */
  readonly planIds: readonly string[];
  /** Where their journal is. */
  readonly journal: string;
}

const FOLDER = 'reservations';
const fileOf = (key: string) => `${FOLDER}/${key}.json`;
const draftOf = (key: string) => `${FOLDER}/${key}.next`;

/** Host-wide reservations: a file each, made whole or not at all. */
export class Reservations {
  readonly #store: StateStore;

  constructor(store: StateStore) {
    this.#store = store;
  }

  async read(key: string): Promise<Reservation | undefined> {
    const text = await this.#store.read(fileOf(key));
    return text === undefined ? undefined : parse(text, `${this.#store.location}/${fileOf(key)}`);
  }

  async list(): Promise<readonly Reservation[]> {
    const files = (await this.#store.list(FOLDER)).filter((file) => file.endsWith('.json')).sort();
    const all = await Promise.all(files.map((file) => this.read(file.slice(0, -'.json'.length))));
    return all.filter((reservation) => reservation !== undefined);
  }

  /**
   * Takes the thing for one more plan; taking again for the same plan is nothing new. Plans of one scope
   * run under that scope's lock, so only different scopes can meet here at one moment.
   *
   * @throws {RefusedError} `CONFLICT` naming both sides.
   */
  async take(wanted: Omit<Reservation, 'planIds'>, planId: string): Promise<void> {
    const { key, scope } = wanted;
    if (await this.#store.create(fileOf(key), textOf({ ...wanted, planIds: [planId] }))) return;
    const holder = await this.read(key);
    // Released between the two calls: the next try decides.
    if (holder === undefined) return this.take(wanted, planId);
    if (holder.scope !== scope) throw conflict(key, scope, holder);
    if (holder.planIds.includes(planId)) return;
    await this.#replace({ ...holder, planIds: [...holder.planIds, planId] });
  }

  /** Gives it back for this plan; it is free once no plan has it. */
  async release(key: string, planId: string): Promise<void> {
    const holder = await this.read(key);
    if (!holder?.planIds.includes(planId)) return;
    const planIds = holder.planIds.filter((id) => id !== planId);
    if (planIds.length > 0) {
      await this.#replace({ ...holder, planIds });
      return;
    }
    // What a kill in `#replace` left goes first: without the file itself nobody would look for it.
    await this.#store.remove(draftOf(key));
    await this.#store.remove(fileOf(key));
  }

  async #replace(reservation: Reservation): Promise<void> {
    const draft = draftOf(reservation.key);
    await this.#store.remove(draft);
    await this.#store.create(draft, textOf(reservation));
    await this.#store.rename(draft, fileOf(reservation.key));
  }
}

const textOf = (reservation: Reservation) => `${JSON.stringify(reservation)}\n`;

/** The refusal for a thing that another plan has. */
export function conflict(key: string, scope: string, holder: Reservation): RefusedError {
  return new RefusedError(
    'CONFLICT',
    `${key} is reserved for VM ${holder.scope}; VM ${scope} cannot have it too`,
    {
      remedy: `detach it from that VM first; if that VM has ended: qmplug recover (its journal is in ${holder.journal})`,
      details: {
        key,
        holder: holder.scope,
        plans: holder.planIds,
        journal: holder.journal,
        wanted: scope,
      },
    },
  );
}

function parse(text: string, name: string): Reservation {
  let value: Partial<Reservation> | null = null;
  try {
    value = JSON.parse(text) as Partial<Reservation> | null;
  } catch {
    // Told below, as anything else that is none.
  }
  const { key, scope, planIds, journal } = value ?? {};
  if (
    typeof key === 'string' &&
    typeof scope === 'string' &&
    Array.isArray(planIds) &&
    typeof journal === 'string'
  ) {
    return { key, scope, planIds, journal };
  }
  throw new RefusedError('STATE_DAMAGED', `${name} is not a reservation of ours`, {
    remedy: `look at the file and remove it: rm ${name}`,
  });
}
