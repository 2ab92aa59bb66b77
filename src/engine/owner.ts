import type { Known } from '../known.js';

/**
 * A process that cannot be mistaken for a later one with the same number. Two namespaces number
 * processes apart, so the namespace belongs to the name.
 */
export interface Owner {
  readonly bootId: string;
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTime: string;
  /**
   * The PID namespace in which the process has this number, as the reader's /proc/self/ns/pid shows it;
   * undefined on a kernel without any.
   */
  readonly pidNamespace: string | undefined;
}

/** What the engine must know of processes; the host answers. */
export interface Liveness {
  self(): Promise<Owner>;
  /** Whether the process still runs. Unknown for one in another PID namespace. */
  isAlive(owner: Owner): Promise<Known<boolean>>;
}

export function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false;
  const { bootId, pid, startTime } = value as Partial<Record<keyof Owner, unknown>>;
  return typeof bootId === 'string' && typeof pid === 'number' && typeof startTime === 'string';
}
