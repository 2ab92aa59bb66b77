import { describe, expect, it } from 'vitest';
import { Reservations } from '../../src/engine/index.js';
import { createMemoryStore } from '../support/memory-store.js';

const wanted = (scope: string) => ({ key: 'group-17', scope, journal: '/run/qmplug' });

describe('Reservations', () => {
  it('gives a group to one VM only, and names both sides', async () => {
    const reservations = new Reservations(createMemoryStore());
    await reservations.take(wanted('vm-1'), 'p1');
    await expect(reservations.take(wanted('vm-2'), 'p2')).rejects.toMatchObject({
      code: 'CONFLICT',
      details: {
        key: 'group-17',
        holder: 'vm-1',
        plans: ['p1'],
        journal: '/run/qmplug',
        wanted: 'vm-2',
      },
    });
  });

  it('is taken once however often one plan takes it', async () => {
    const reservations = new Reservations(createMemoryStore());
    await reservations.take(wanted('vm-1'), 'p1');
    await reservations.take(wanted('vm-1'), 'p1');
    await reservations.release('group-17', 'p1');
    expect(await reservations.list()).toEqual([]);
  });

  it('stays with the VM until its last plan gave it back', async () => {
    const reservations = new Reservations(createMemoryStore());
    await reservations.take(wanted('vm-1'), 'p1');
    await reservations.take(wanted('vm-1'), 'p2');
    await reservations.release('group-17', 'p1');
    expect(await reservations.read('group-17')).toMatchObject({ planIds: ['p2'] });
    await reservations.release('group-17', 'p1');
    expect(await reservations.read('group-17')).toMatchObject({ planIds: ['p2'] });
    await reservations.release('group-17', 'p2');
    expect(await reservations.read('group-17')).toBeUndefined();
  });

  it('refuses to read what it did not write', async () => {
    const store = createMemoryStore(new Map([['reservations/group-1.json', '{"key":3}']]));
    await expect(new Reservations(store).list()).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
  });

  it('leaves nothing of a change that was killed in its middle, once the thing is free', async () => {
    const store = createMemoryStore();
    const reservations = new Reservations(store);
    await reservations.take(wanted('vm-1'), 'p1');
    await store.create('reservations/group-17.next', '{"key":"gro');
    await reservations.release('group-17', 'p1');
    expect([...store.files.keys()]).toEqual([]);
  });
});
