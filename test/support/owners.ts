import type { Liveness, Owner } from '../../src/engine/index.js';
import { known, unknown } from '../../src/known.js';

/** Processes that a test starts and ends. */
export function createProcessTable() {
  const living = new Set<number>();
  const owner = (pid: number): Owner => ({
    bootId: 'boot-1',
    pid,
    startTime: `${pid}00`,
    pidNamespace: 'pid:[1]',
  });
  return {
    owner,
    start: (pid: number) => living.add(pid),
    kill: (pid: number) => living.delete(pid),
    liveness: (pid: number): Liveness => ({
      self: async () => owner(pid),
      isAlive: async (other) =>
        other.pidNamespace === 'pid:[1]'
          ? known(living.has(other.pid))
          : unknown('in another PID namespace'),
    }),
  };
}
