import fc from 'fast-check';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { acquireLock, createFileStore, type StateStore } from '../../src/engine/index.js';
import { createMemoryStore } from '../support/memory-store.js';
import { createProcessTable } from '../support/owners.js';

const LONG = { deadlineMs: 20_000 };

describe('acquireLock', () => {
  let store: StateStore;
  let root: string;
  let processes: ReturnType<typeof createProcessTable>;
  const as = (pid: number) => ({ store, clock: systemClock, liveness: processes.liveness(pid) });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'qmplug-lock-'));
    store = createFileStore(root);
    processes = createProcessTable();
    for (const pid of [1, 2, 3]) processes.start(pid);
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  it('is free again after release, and leaves neither file nor folder', async () => {
    for (const pid of [1, 2]) await (await acquireLock('vm', as(pid), LONG)).release();
    expect(readdirSync(join(root, 'locks'))).toEqual([]);
  });

  it('makes the second wait until the first releases', async () => {
    const first = await acquireLock('vm', as(1), LONG);
    const order: string[] = [];
    const second = acquireLock('vm', as(2), LONG).then((lock) => {
      order.push('second');
      return lock;
    });
    await new Promise((resolve) => setImmediate(resolve));
    order.push('released');
    await first.release();
    await (await second).release();
    expect(order).toEqual(['released', 'second']);
  });

  it('names the holder when the deadline passes', async () => {
    await acquireLock('vm', as(1), LONG);
    await expect(acquireLock('vm', as(2), { deadlineMs: 30 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
      details: { pid: 1 },
    });
    expect(readdirSync(join(root, 'locks/vm'))).toHaveLength(1);
  });

  it('stops waiting when the signal fires, and leaves the queue', async () => {
    const held = await acquireLock('vm', as(1), LONG);
    const abort = new AbortController();
    const waiting = acquireLock('vm', as(2), { ...LONG, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    await held.release();
    await (await acquireLock('vm', as(3), LONG)).release();
  });

  it('passes over a dead holder', async () => {
    await acquireLock('vm', as(1), LONG);
    processes.kill(1);
    await (await acquireLock('vm', as(2), { deadlineMs: 1_000 })).release();
  });

  it('passes over one that died while it drew a number', async () => {
    await store.create('locks/vm/choosing-1.100.9', JSON.stringify(processes.owner(1)));
    await expect(acquireLock('vm', as(2), { deadlineMs: 30 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
    });
    processes.kill(1);
    await (await acquireLock('vm', as(2), { deadlineMs: 1_000 })).release();
  });

  it('takes an owner that cannot be judged for living', async () => {
    const stranger = { ...processes.owner(9), pidNamespace: 'pid:[2]' };
    await store.create('locks/vm/1-9.900.1', JSON.stringify(stranger));
    await expect(acquireLock('vm', as(2), { deadlineMs: 30 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
    });
  });

  it.each(['{"some":"thing"}', '', '{"bootId":'])(
    'refuses %j, not its own, rather than guess',
    async (text) => {
      await store.create('locks/vm/1-strange', text);
      await expect(acquireLock('vm', as(1), LONG)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
    },
  );
});

describe('the lock under any schedule', () => {
  it('is held by at most one, whatever the interleaving and whoever dies', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 2, max: 5 }), async (scheduler, count) => {
        const memory = createMemoryStore();
        const processes = createProcessTable();
        let inside = 0;
        // Every file operation is a point where another process may come between.
        const step = <T>(label: string, run: () => Promise<T>) =>
          scheduler.schedule(Promise.resolve(), label).then(run);
        const store: StateStore = {
          ...memory,
          list: (folder) => step('list', () => memory.list(folder)),
          read: (name) => step('read', () => memory.read(name)),
          create: (name, text) => step('create', () => memory.create(name, text)),
          rename: (from, to) => step('rename', () => memory.rename(from, to)),
          remove: (name) => step('remove', () => memory.remove(name)),
        };
        const clock = {
          now: () => 0,
          after: (_ms: number, callback: () => void) => {
            void scheduler.schedule(Promise.resolve(), 'timer').then(callback);
            return () => undefined;
          },
        };
        const contend = async (pid: number) => {
          processes.start(pid);
          const lock = await acquireLock(
            'vm',
            { store, clock, liveness: processes.liveness(pid) },
            { deadlineMs: 1e9 },
          );
          inside += 1;
          expect(inside).toBe(1);
          await scheduler.schedule(Promise.resolve(), 'critical section');
          inside -= 1;
          if (pid % 2 === 0) await lock.release();
          else processes.kill(pid);
        };
        const all = Promise.all(Array.from({ length: count }, (_, index) => contend(index + 1)));
        await scheduler.waitFor(all);
      }),
      { numRuns: 300 },
    );
  });
});
