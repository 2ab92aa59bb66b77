import { describe, expect, it } from 'vitest';
import {
  Holds,
  parseRequest,
  reserveWhenFree,
  resolveSelector,
  type Hold,
  type ReserveWish,
} from '../../../src/index.js';
import type { ControllerProcess, World } from '../../../src/simulator/index.js';
import {
  ACCELERATOR,
  createHostWorld,
  environmentOf,
  onVm,
  runTask,
} from '../../hotplug/simulated.js';

const make = () => createHostWorld({ seed: 1, guest: { kind: 'linux' } });

function holdsIn(process: ControllerProcess): Holds {
  const { runtime: store, liveness, clock } = environmentOf(process);
  return new Holds({ store, liveness, clock });
}

interface Asked extends Partial<Omit<ReserveWish, 'request'>> {
  readonly selector?: string;
  readonly policy?: string;
}

/** One process that waits; how often it looked at the host, and what it got. */
function wait(world: World, owner: string, asked: Asked = {}) {
  const { selector = ACCELERATOR, policy, waitMs = 60_000, ttlMs, signal } = asked;
  const process = world.startController();
  const { effects, runtime: store, liveness, clock } = environmentOf(process);
  const request = parseRequest(selector, { policy });
  const looks: number[] = [];
  const choose = async () => {
    looks.push(world.clock.now());
    const options = { owner, scope: owner, onlyFree: true };
    const resolution = await resolveSelector({ effects, runtime: store }, request, options);
    return { resolution, tenant: undefined };
  };
  // Time stands still until somebody runs the world.
  const got = process
    .run(() =>
      reserveWhenFree(
        choose,
        { request, owner, ttlMs, waitMs, signal },
        { store, liveness, clock, holds: holdsIn(process) },
      ),
    )
    .then((outcome) => {
      if (outcome.kind === 'done') return outcome.value;
      throw outcome.kind === 'failed' ? outcome.error : new Error('the process was killed');
    });
  // Whoever asks awaits it; until then a refusal is nobody's.
  got.catch(() => undefined);
  return { process, looks, got };
}

const ownersOf = (holds: readonly Hold[]) => holds.map(({ key, owner }) => `${key} ${owner}`);
const take = (world: World, owner: string) => {
  const process = world.startController();
  const wanted = [{ key: 'group-5', devices: [ACCELERATOR] }];
  return runTask(world, process, () => holdsIn(process).take(wanted, owner, undefined));
};
const release = (world: World, owner: string) => {
  const process = world.startController();
  return runTask(world, process, () => holdsIn(process).release(owner));
};
const list = (world: World) => holdsIn(world.startController()).list();
const filesIn = (world: World, folder: string) =>
  world.store.contents.filter(([name]) => name.startsWith(`${folder}/`));
const pass = (world: World, ms: number) =>
  world.run(new Promise<void>((resolve) => world.clock.after(ms, resolve)));

describe('waiting for a reservation', () => {
  it('takes at once what is free', async () => {
    const world = make();
    const waiting = wait(world, 'alice');
    expect(ownersOf(await world.run(waiting.got))).toEqual(['group-5 alice']);
    expect(waiting.looks).toHaveLength(1);
    expect(filesIn(world, 'locks')).toEqual([]);
  });

  it('takes what another gives back, and nothing before', async () => {
    const world = make();
    await take(world, 'alice');
    const waiting = wait(world, 'bob', { waitMs: 120_000 });
    await pass(world, 5_000);
    expect(ownersOf(await list(world))).toEqual(['group-5 alice']);
    await release(world, 'alice');
    expect(ownersOf(await world.run(waiting.got))).toEqual(['group-5 bob']);
  });

  it('takes what a VM gives back, and what is enough only then', async () => {
    const world = make();
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    const wished = { selector: 'id:1da3:1000', policy: 'exactly:1', waitMs: 120_000 };
    const waiting = wait(world, 'bob', wished);
    await pass(world, 5_000);
    await onVm(world, (vm) => vm.detach(ACCELERATOR));
    expect(ownersOf(await world.run(waiting.got))).toEqual(['group-5 bob']);
  });

  it('looks no more than now and then, and rests where much changes', async () => {
    const world = make();
    await take(world, 'alice');
    const waiting = wait(world, 'bob', { waitMs: 10_000 });
    for (let change = 0; change < 50; change += 1) {
      await take(world, 'alice');
      await pass(world, 10);
    }
    await expect(world.run(waiting.got)).rejects.toMatchObject({ code: 'RESERVE_TIMEOUT' });
    const pauses = waiting.looks.slice(1).map((at, index) => at - (waiting.looks[index] ?? 0));
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(100);
    expect(waiting.looks.length).toBeGreaterThan(9);
    expect(waiting.looks.length).toBeLessThan(25);
  });

  it('ends at the deadline, naming both sides, with nothing set aside', async () => {
    const world = make();
    await take(world, 'alice');
    const before = world.store.contents;
    const waiting = wait(world, 'bob', { waitMs: 20_000 });
    await expect(world.run(waiting.got)).rejects.toMatchObject({
      code: 'RESERVE_TIMEOUT',
      message: expect.stringMatching(/^bob waited 20.* s for 0000:05:00\.0: .*alice/) as unknown,
      remedy: expect.stringContaining('--wait') as unknown,
      details: { wanted: 'bob', code: 'CONFLICT' },
      cause: expect.objectContaining({ code: 'CONFLICT' }) as unknown,
    });
    expect(world.store.contents).toEqual(before);
  });

  it('serves those with the same selector in the order in which they came', async () => {
    const world = make();
    await take(world, 'holder');
    const order: string[] = [];
    const names = ['a', 'b', 'c'];
    const waiting = [];
    for (const name of names) {
      const each = wait(world, name, { waitMs: 120_000 });
      waiting.push(
        each.got.then(async () => {
          order.push(name);
          await release(world, name);
        }),
      );
      await pass(world, 1_000);
    }
    await release(world, 'holder');
    await world.run(Promise.all(waiting));
    expect(order).toEqual(names);
  });

  it('says who is ahead where its turn does not come', async () => {
    const world = make();
    await take(world, 'holder');
    const first = wait(world, 'a', { waitMs: 60_000 });
    await pass(world, 1_000);
    const second = wait(world, 'b', { waitMs: 5_000 });
    await expect(world.run(second.got)).rejects.toMatchObject({
      code: 'RESERVE_TIMEOUT',
      message: expect.stringContaining(`process ${first.process.pid} waits`) as unknown,
    });
    expect(second.looks).toEqual([]);
  });

  it('passes over one who is killed while it waits', async () => {
    const world = make();
    await take(world, 'holder');
    const first = wait(world, 'a', { waitMs: 120_000 });
    await pass(world, 1_000);
    const second = wait(world, 'b', { waitMs: 120_000 });
    await pass(world, 1_000);
    first.process.kill();
    await release(world, 'holder');
    expect(ownersOf(await world.run(second.got))).toEqual(['group-5 b']);
  });

  it.each([['its turn'], ['the device']])(
    'ends with its signal while it waits for %s',
    async (what) => {
      const world = make();
      await take(world, 'holder');
      const before = world.store.contents;
      const ahead = what === 'its turn' ? wait(world, 'a', { waitMs: 5_000 }) : undefined;
      await pass(world, 100);
      const stop = new AbortController();
      const waiting = wait(world, 'b', { waitMs: 120_000, signal: stop.signal });
      await pass(world, 1_500);
      stop.abort(new Error('enough'));
      await expect(world.run(waiting.got)).rejects.toMatchObject({ code: 'ABORTED' });
      if (ahead !== undefined) await world.run(ahead.got.catch(() => undefined));
      expect(world.store.contents).toEqual(before);
    },
  );

  it('does not wait for what no waiting changes', async () => {
    const world = make();
    const waiting = wait(world, 'bob', { selector: '0000:3b:*.*' });
    await expect(world.run(waiting.got)).rejects.toMatchObject({ code: 'AMBIGUOUS' });
    expect(waiting.looks).toHaveLength(1);
    expect(filesIn(world, 'locks')).toEqual([]);
  });
});
