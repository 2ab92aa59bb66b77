import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { Holds } from '../../src/engine/index.js';
import { createMemoryStore } from '../support/memory-store.js';
import { createProcessTable } from '../support/owners.js';

function hostAt(time: { now: number }) {
  const store = createMemoryStore();
  const processes = createProcessTable();
  processes.start(1);
  const options = { store, clock: systemClock, liveness: processes.liveness(1) };
  const filesOfHolds = () => [...store.files.keys()].filter((name) => name.startsWith('holds/'));
  return { store, filesOfHolds, holds: new Holds({ ...options, wallClock: () => time.now }) };
}

const group = { key: 'group-17', devices: [] };

describe('Holds', () => {
  it('forgets, at the next change, what a kill left in the middle of another', async () => {
    const { store, filesOfHolds, holds } = hostAt({ now: 0 });
    await store.create('holds/mdev-1.next', '{"key":"mdev-1"}');
    await store.create('holds/group-17.next', '{"ke');
    await holds.take([group], 'a', undefined);
    expect(filesOfHolds()).toEqual(['holds/group-17.json']);
    expect(await holds.list()).toMatchObject([{ key: 'group-17', owner: 'a' }]);
  });

  it('keeps no file of a hold whose time has passed', async () => {
    const time = { now: 0 };
    const { filesOfHolds, holds } = hostAt(time);
    await holds.take([{ key: 'mdev-1', devices: [] }], 'a', 1_000);
    await holds.take([{ key: 'mdev-2', devices: [] }], 'a', 3_000);
    time.now = 2_000;
    await holds.take([group], 'b', undefined);
    expect(filesOfHolds().sort()).toEqual(['holds/group-17.json', 'holds/mdev-2.json']);
  });
});
