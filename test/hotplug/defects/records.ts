import type { StateStore } from '../../../src/engine/index.js';
import { inStores, type Defect } from './defect.js';
import { command, oneByOne } from './story.js';

/** A store in which a process's locks are nobody's business, and nobody's its. */
function withoutLocks(store: StateStore): StateStore {
  const isLock = (name: string) => name.startsWith('locks/');
  return {
    ...store,
    list: (folder) => (isLock(folder) ? Promise.resolve([]) : store.list(folder)),
    create: (name, text) => (isLock(name) ? Promise.resolve(true) : store.create(name, text)),
    rename: (from, to) => (isLock(from) ? Promise.resolve() : store.rename(from, to)),
  };
}

const COMMIT = /^\{"step":\d+,"turn":"do","state":"done".*\n/gm;

export const recordDefects: readonly Defect[] = [
  inStores('one of two processes takes no lock', ['under-lock'], ({ runtime }, pid) =>
    pid % 2 === 0 ? { runtime: withoutLocks(runtime) } : {},
  ),

  inStores(
    "'done' is written before the effect",
    ['no-phantom'],
    ({ state }) => ({
      state: {
        ...state,
        append: async (name, text) => {
          await state.append(name, text);
          if (!text.includes('"turn":"do","state":"intended"')) return;
          await state.append(name, text.replace('"state":"intended"', '"state":"done"'));
        },
      },
    }),
    {
      guest: 'slow',
      faultCount: 0,
      // Killed between the early note of AwaitRemoval and the proof that it stands for.
      rules: [{ fault: 'killed-after', at: { operation: 'store.append' }, skip: 8 }],
      batches: oneByOne(
        command('attach', 'd0', { waits: false }),
        command('detach', 'd0'),
        command('recover', 'd0', { timeoutMs: 500 }),
      ),
    },
  ),

  inStores(
    'a recovery goes backwards past the commit point',
    ['no-phantom', 'forward-only', 'works-undisturbed'],
    ({ state }) => ({
      state: {
        ...state,
        read: async (name) => {
          const text = await state.read(name);
          const isOpen = name.startsWith('plans/') && text?.includes('{"end":') === false;
          return isOpen ? text.replaceAll(COMMIT, '') : text;
        },
      },
    }),
  ),
];
