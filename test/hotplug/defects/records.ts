import type { StateStore } from '../../../src/engine/index.js';
import { inStores, type Defect } from './defect.js';

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
  inStores('one of two processes takes no lock', 'under-lock', ({ runtime }, pid) =>
    pid % 2 === 0 ? { runtime: withoutLocks(runtime) } : {},
  ),

  inStores("'done' is written before the effect", 'hands-off', ({ state }) => ({
    state: {
      ...state,
      append: async (name, text) => {
        await state.append(name, text);
        if (!text.includes('"turn":"do","state":"intended"')) return;
        await state.append(name, text.replace('"state":"intended"', '"state":"done"'));
      },
    },
  })),

  inStores('a recovery goes backwards past the commit point', 'forward-only', ({ state }) => ({
    state: {
      ...state,
      read: async (name) => {
        const text = await state.read(name);
        const isOpen = name.startsWith('plans/') && text?.includes('{"end":') === false;
        return isOpen ? text.replaceAll(COMMIT, '') : text;
      },
    },
  })),
];
