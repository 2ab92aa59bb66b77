import type { Liveness, Owner } from '../engine/owner.js';
import type { StateStore } from '../engine/state-store.js';
import { HostNotReadyError, RefusedError } from '../errors.js';
import type { BindingRecord } from './binding.js';

/**
 * A device that nobody may touch until an operator has looked at it. `stuck`: an operation on it never
 * came back, and a second one would queue behind it. `dead`: it no longer answers on the bus.
 */
export interface QuarantineEntry {
  /** BDF of a function, or UUID of an mdev. */
  readonly device: string;
  readonly why: 'stuck' | 'dead';
  /** What was seen. */
  readonly evidence: string;
  /** A reboot ends every operation and resets every device. */
  readonly bootId: string;
  /** The process that is still at it; null where there is none. */
  readonly worker: Owner | null;
  /** How the device was bound before qmplug took it, where it still has to go back. */
  readonly binding: BindingRecord | null;
}

const FOLDER = 'quarantine';
const SUFFIX = '.json';
const fileOf = (device: string) => `${FOLDER}/${device}${SUFFIX}`;

/** The host's quarantine: a file for each device, shared by every process of qmplug. */
export class Quarantine {
  readonly #store: StateStore;
  readonly #liveness: Liveness;

  constructor(store: StateStore, liveness: Liveness) {
    this.#store = store;
    this.#liveness = liveness;
  }

  /** By device; what another boot left behind is cleared on the way. */
  async list(): Promise<readonly QuarantineEntry[]> {
    const files = (await this.#store.list(FOLDER)).filter((file) => file.endsWith(SUFFIX)).sort();
    const entries = await Promise.all(
      files.map((file) => this.read(file.slice(0, -SUFFIX.length))),
    );
    return entries.filter((entry) => entry !== undefined);
  }

  async read(device: string): Promise<QuarantineEntry | undefined> {
    const text = await this.#store.read(fileOf(device));
    if (text === undefined) return undefined;
    const entry = parse(text, `${this.#store.location}/${fileOf(device)}`);
    if (entry.bootId === (await this.#liveness.self()).bootId) return entry;
    await this.#store.remove(fileOf(device));
    return undefined;
  }

  /** Bars a device. What was said of it first stays: the rest follows from it. */
  async add(entry: Omit<QuarantineEntry, 'bootId'>): Promise<void> {
    const { bootId } = await this.#liveness.self();
    await this.#store.create(fileOf(entry.device), `${JSON.stringify({ ...entry, bootId })}\n`);
  }

  /** Lifts it. Whether that is safe is for the caller to have found out. */
  async remove(device: string): Promise<void> {
    await this.#store.remove(fileOf(device));
  }
}

/** The refusal for a device in quarantine. */
export function quarantined({ device, why, evidence, worker }: QuarantineEntry): RefusedError {
  return new HostNotReadyError('QUARANTINED', `${device} is in quarantine: ${evidence}`, {
    remedy:
      why === 'stuck'
        ? `see what holds it: dmesg | tail; once that is over: qmplug host quarantine release ${device}`
        : `reset or replace it, then: qmplug host quarantine release ${device}`,
    details: { device, why, worker: worker?.pid ?? null },
  });
}

function parse(text: string, name: string): QuarantineEntry {
  const value = JSON.parse(text) as Partial<QuarantineEntry> | null;
  const { device, why, evidence, bootId, worker = null, binding = null } = value ?? {};
  if (
    typeof device === 'string' &&
    (why === 'stuck' || why === 'dead') &&
    typeof evidence === 'string' &&
    typeof bootId === 'string'
  ) {
    return { device, why, evidence, bootId, worker, binding };
  }
  throw new RefusedError('STATE_DAMAGED', `${name} is not a quarantine of ours`, {
    remedy: `look at the file and remove it: rm ${name}`,
  });
}
