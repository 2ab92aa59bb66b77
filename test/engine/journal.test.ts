import { describe, expect, it, vi } from 'vitest';
import { Journal, type Plan } from '../../src/engine/index.js';
import { parseEntry } from '../../src/engine/journal.js';
import { createMemoryStore } from '../support/memory-store.js';
import { createProcessTable } from '../support/owners.js';

const plan: Plan = {
  id: 'p1',
  kind: 'attach',
  scope: 'vm-1',
  subject: { what: 'a device' },
  steps: [{ kind: 'A' }, { kind: 'B' }],
  commit: { step: 1, at: 'done' },
  snapshotHash: 'h',
};
const runner = createProcessTable().owner(7);

async function written() {
  const store = createMemoryStore();
  const journal = new Journal(store);
  await journal.open(plan, runner);
  await journal.append('p1', {
    step: 0,
    turn: 'do',
    state: 'intended',
    record: { driver: 'e1000e' },
  });
  await journal.append('p1', { step: 0, turn: 'do', state: 'done', ms: 2 });
  await journal.append('p1', { step: 1, turn: 'do', state: 'intended' });
  return { store, journal, text: store.files.get('plans/p1.jsonl') ?? '' };
}

describe('Journal', () => {
  it('reads back what was written', async () => {
    const { journal } = await written();
    const entry = await journal.read('p1');
    expect(entry?.progress).toMatchObject({
      plan,
      committed: false,
      turnedBack: undefined,
      ended: undefined,
      steps: [
        { forward: 'done', backward: 'untouched', record: { driver: 'e1000e' }, ms: 2 },
        { forward: 'intended', backward: 'untouched' },
      ],
    });
    expect(entry?.runner).toEqual(runner);
  });

  it('survives a kill at any byte: a prefix of the file is an earlier state of the plan', async () => {
    const { text } = await written();
    const headerLength = text.indexOf('\n');
    const states = new Set<string>();
    for (let length = headerLength; length <= text.length; length += 1) {
      const { progress } = parseEntry(text.slice(0, length), 'p1');
      states.add(progress.steps.map((step) => step.forward).join());
    }
    expect([...states]).toEqual([
      'untouched,untouched',
      'intended,untouched',
      'done,untouched',
      'done,intended',
    ]);
  });

  it('goes on after a torn line without losing the next one', async () => {
    const { store, journal, text } = await written();
    store.files.set('plans/p1.jsonl', text.slice(0, -9));
    await journal.append('p1', { back: 'it failed' });
    const entry = await journal.read('p1');
    expect(entry?.progress).toMatchObject({ turnedBack: 'it failed' });
    expect(entry?.progress.steps[1]?.forward).toBe('untouched');
  });

  it('counts the commit point from the step that carries it', async () => {
    const { journal } = await written();
    await journal.append('p1', { step: 1, turn: 'do', state: 'done' });
    expect((await journal.read('p1'))?.progress.committed).toBe(true);
  });

  it('takes an intention back when the step definitely failed', async () => {
    const journal = new Journal(createMemoryStore());
    await journal.open({ ...plan, commit: { step: 0, at: 'intended' } }, runner);
    await journal.append('p1', { step: 0, turn: 'do', state: 'intended' });
    expect((await journal.read('p1'))?.progress.committed).toBe(true);
    await journal.append('p1', { step: 0, turn: 'do', state: 'failed' });
    expect((await journal.read('p1'))?.progress.committed).toBe(false);
  });

  it('refuses a file that does not begin with a plan', () => {
    expect(() => parseEntry('{"v":2}\n', 'plans/x.jsonl')).toThrow(
      expect.objectContaining({ code: 'STATE_DAMAGED' }),
    );
  });

  it('never advises to remove what another version has written', () => {
    expect(() => parseEntry('{"v":2}\n', 'plans/x.jsonl')).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('version 2') as string,
        remedy: expect.not.stringContaining('rm ') as string,
      }),
    );
  });

  it.each(['', 'null', '5', '{"v":1}', '{"v":1,"plan":null}', '{"v":1,"plan":{"steps":[]}}'])(
    'refuses %j as the first line, and says what may be left of it',
    (header) => {
      expect(() => parseEntry(`${header}\n`, 'plans/x.jsonl')).toThrow(
        expect.objectContaining({
          code: 'STATE_DAMAGED',
          remedy: expect.stringContaining('mv plans/x.jsonl plans/x.jsonl.damaged') as string,
        }),
      );
    },
  );

  it.each(['null', '5', '"x"', 'true'])('passes over %j in the place of a line', async (line) => {
    const { text } = await written();
    const expected = parseEntry(text, 'plans/p1.jsonl');
    expect(parseEntry(`${text}\n${line}\n`, 'plans/p1.jsonl')).toEqual(expected);
  });

  it('never opens one plan twice', async () => {
    const { journal } = await written();
    await expect(journal.open(plan, runner)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
  });

  it('lists by id and forgets', async () => {
    const { journal } = await written();
    await journal.open({ ...plan, id: 'p0' }, runner);
    expect((await journal.list()).map((entry) => entry.progress.plan.id)).toEqual(['p0', 'p1']);
    await journal.forget('p0');
    await journal.forget('p0');
    expect((await journal.list()).map((entry) => entry.progress.plan.id)).toEqual(['p1']);
  });

  it('lists the plans of one scope, and reads those of others once, whoever asks', async () => {
    const { store, journal } = await written();
    await journal.open({ ...plan, id: 'p0', scope: 'vm-2' }, runner);
    await journal.open({ ...plan, id: 'p2' }, runner);
    const read = vi.spyOn(store, 'read');
    const idsOf = async (scope: string) =>
      (await new Journal(store).listOf(scope)).map((entry) => entry.progress.plan.id);
    expect(await idsOf('vm-1')).toEqual(['p1', 'p2']);
    expect(read).toHaveBeenCalledTimes(3);
    read.mockClear();
    expect(await idsOf('vm-2')).toEqual(['p0']);
    expect(await idsOf('vm-1')).toEqual(['p1', 'p2']);
    expect(read.mock.calls.flat().sort()).toEqual(
      ['p0', 'p1', 'p2'].map((id) => `plans/${id}.jsonl`),
    );
    await journal.forget('p1');
    expect(await idsOf('vm-1')).toEqual(['p2']);
    expect(await idsOf('vm-3')).toEqual([]);
  });

  it('refuses a plan that nobody can read, whoever asks and however often', async () => {
    const { store, journal } = await written();
    store.files.set('plans/p9.jsonl', '{"v":1');
    for (const scope of ['vm-1', 'vm-2', 'vm-1']) {
      await expect(journal.listOf(scope)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
    }
  });
});
