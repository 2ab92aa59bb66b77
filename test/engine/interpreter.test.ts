import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import {
  Interpreter,
  Journal,
  reportSteps,
  type Boundary,
  type Plan,
  type Presence,
  type StepHandler,
} from '../../src/engine/index.js';
import { RefusedError, TimeoutError } from '../../src/errors.js';
import { createMemoryStore } from '../support/memory-store.js';
import { createProcessTable } from '../support/owners.js';

interface Put {
  readonly kind: 'Put';
  readonly name: string;
}

/** A world of named things, in which a step can be told to misbehave. */
class World {
  readonly things = new Set<string>();
  readonly log: string[] = [];
  readonly misbehaviour = new Map<string, (name: string) => Promise<unknown> | undefined>();
  presence: Presence | undefined;

  async act(turn: 'check' | 'do' | 'undo', name: string, effect: () => void) {
    this.log.push(`${turn} ${name}`);
    const result = await this.misbehaviour.get(`${turn} ${name}`)?.(name);
    if (result === undefined) effect();
    return result as { waiting: string } | undefined;
  }
}

const put: StepHandler<Put, World, string> = {
  check: async ({ name }, world) => {
    await world.act('check', name, () => undefined);
  },
  prepare: async ({ name }) => `before ${name}`,
  do: ({ name }, world) => world.act('do', name, () => world.things.add(name)),
  undo: ({ name }, world, record) => {
    expect(record).toBe(`before ${name}`);
    return world.act('undo', name, () => world.things.delete(name));
  },
  changedNothing: (cause) => cause instanceof RefusedError,
  probe: async ({ name }, world) =>
    world.presence ?? (world.things.has(name) ? 'present' : 'absent'),
};

const fails = (error: Error) => () => Promise.reject(error);
const waits = (reason: string) => async () => ({ waiting: reason });

describe('Interpreter', () => {
  let world: World;
  let store: ReturnType<typeof createMemoryStore>;
  let journal: Journal;
  const runner = createProcessTable().owner(1);
  const plan = (commit: Plan['commit'] = { step: 2, at: 'done' }): Plan<Put> => ({
    id: 'p',
    kind: 'test',
    scope: 'vm',
    subject: {},
    steps: ['a', 'b', 'c'].map((name) => ({ kind: 'Put', name })),
    commit,
    snapshotHash: '',
  });
  const interpreter = (onBoundary?: (boundary: Boundary) => Promise<void> | void) =>
    new Interpreter<Put, World>({
      handlers: { Put: put },
      journal,
      clock: systemClock,
      runner,
      onBoundary,
    });
  const resume = async () => {
    const entry = await journal.read('p');
    if (entry === undefined) throw new Error('the plan is not in the journal');
    return interpreter().resume(entry.progress as never, world);
  };

  beforeEach(() => {
    world = new World();
    store = createMemoryStore();
    journal = new Journal(store);
  });

  it('does the steps in order and says so in the journal', async () => {
    const result = await interpreter().start(plan(), world);
    expect(result.kind).toBe('done');
    expect([...world.things]).toEqual(['a', 'b', 'c']);
    expect((await journal.read('p'))?.progress).toMatchObject({ ended: 'done', committed: true });
  });

  it('writes nothing and does nothing when any check refuses', async () => {
    world.misbehaviour.set('check c', fails(new RefusedError('IN_USE', 'no')));
    await expect(interpreter().start(plan(), world)).rejects.toMatchObject({ code: 'IN_USE' });
    expect(world.log).toEqual(['check a', 'check b', 'check c']);
    expect(store.files.size).toBe(0);
  });

  it('undoes everything in reverse, the failed step included, before the commit point', async () => {
    const cause = new Error('broken');
    world.misbehaviour.set('do b', fails(cause));
    const result = await interpreter().start(plan(), world);
    expect(result).toMatchObject({ kind: 'undone', cause });
    expect(world.log.filter((line) => !line.startsWith('check'))).toEqual([
      'do a',
      'do b',
      'undo b',
      'undo a',
    ]);
    expect(world.things.size).toBe(0);
    expect(reportSteps(result.progress).map((step) => step.outcome)).toEqual([
      'undone',
      'undone',
      'untouched',
    ]);
  });

  it('does not undo a step that says its failure changed nothing', async () => {
    world.misbehaviour.set('do b', fails(new RefusedError('IN_USE', 'no')));
    expect((await interpreter().start(plan(), world)).kind).toBe('undone');
    expect(world.log).not.toContain('undo b');
    expect(world.things.size).toBe(0);
  });

  it('stops, undoing nothing, after the commit point', async () => {
    world.misbehaviour.set('do c', fails(new Error('broken')));
    const result = await interpreter().start(plan({ step: 0, at: 'intended' }), world);
    expect(result).toMatchObject({ kind: 'stopped', step: 2, undoFailures: [] });
    expect([...world.things]).toEqual(['a', 'b']);
    world.misbehaviour.clear();
    expect((await resume()).kind).toBe('done');
    expect([...world.things]).toEqual(['a', 'b', 'c']);
  });

  it.each([
    ['present', 'done', ['a', 'b', 'c']],
    ['absent', 'undone', []],
    ['unreadable', 'unknown', ['a']],
  ] as const)('lets a probe settle an unknown outcome: %s', async (presence, kind, things) => {
    world.misbehaviour.set('do b', async (name) => {
      if (presence === 'present') world.things.add(name);
      throw new TimeoutError('COMMAND_TIMEOUT', 'no answer');
    });
    world.presence = presence;
    const result = await interpreter().start(plan(), world);
    expect(result.kind).toBe(kind);
    expect([...world.things].sort()).toEqual(things);
  });

  it('keeps the first failure when an undo fails too, and touches nothing before it', async () => {
    const cause = new Error('first');
    const second = new Error('second');
    world.misbehaviour.set('do c', fails(cause));
    world.misbehaviour.set('undo b', fails(second));
    const result = await interpreter().start(plan(), world);
    expect(result).toMatchObject({ kind: 'stopped', step: 1, cause, undoFailures: [second] });
    expect([...world.things]).toEqual(['a', 'b']);
    world.misbehaviour.clear();
    expect((await resume()).kind).toBe('undone');
    expect(world.things.size).toBe(0);
  });

  it('suspends what waits and goes on from there, in another run', async () => {
    world.misbehaviour.set('do b', waits('for the guest'));
    expect(await interpreter().start(plan(), world)).toMatchObject({
      kind: 'waiting',
      step: 1,
      reason: 'for the guest',
    });
    world.misbehaviour.clear();
    world.log.length = 0;
    expect((await resume()).kind).toBe('done');
    expect(world.log).toEqual(['do b', 'do c']);
  });

  it('suspends an undo that waits, and goes on undoing', async () => {
    world.misbehaviour.set('do c', fails(new Error('broken')));
    world.misbehaviour.set('undo b', waits('for the guest'));
    expect(await interpreter().start(plan(), world)).toMatchObject({ kind: 'waiting', step: 1 });
    world.misbehaviour.clear();
    expect((await resume()).kind).toBe('undone');
    expect(world.things.size).toBe(0);
  });

  it('ends in all or nothing after a kill at any boundary, any number of times', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(30), { minLength: 1, maxLength: 4 }),
        fc.constantFrom<Plan['commit']>({ step: 2, at: 'done' }, { step: 1, at: 'intended' }),
        fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
        async (kills, commit, failing) => {
          world = new World();
          journal = new Journal(createMemoryStore());
          if (failing !== undefined) {
            world.misbehaviour.set(`do ${failing}`, fails(new Error('broken')));
          }
          for (const [life, kill] of kills.entries()) {
            await untilKilled(
              kill,
              life === 0
                ? (hook) => interpreter(hook).start(plan(commit), world)
                : async (hook) => {
                    const entry = await journal.read('p');
                    if (entry === undefined) return;
                    await interpreter(hook).resume(entry.progress as never, world);
                  },
              seen,
            );
          }
          world.misbehaviour.clear();
          const entry = await journal.read('p');
          if (entry !== undefined) await resume();
          expect([0, 3]).toContain(world.things.size);
          expect((await journal.read('p'))?.progress.ended).toBe(
            world.things.size === 0 ? 'undone' : 'done',
          );
        },
      ),
      // With this seed every boundary there is was hit by some kill.
      { numRuns: 500, seed: 1 },
    );
    expect(seen.size).toBe(3 * 4 * 2);
  });

  /** Runs until the `kill`th boundary, where the process is no more. */
  async function untilKilled(
    kill: number,
    run: (hook: (boundary: Boundary) => Promise<void> | void) => Promise<unknown>,
    seen: Set<string>,
  ) {
    let count = 0;
    let die: () => void = () => undefined;
    const killed = new Promise<void>((resolve) => (die = resolve));
    const hook = ({ step, turn, at }: Boundary) => {
      count += 1;
      if (count !== kill + 1) return;
      seen.add(`${step} ${turn} ${at}`);
      die();
      return new Promise<void>(() => undefined);
    };
    await Promise.race([run(hook), killed]);
  }
});
