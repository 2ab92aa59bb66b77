import type { StateStore } from '../../src/engine/index.js';

/** A state store in memory, with the semantics of the one on disk. */
export function createMemoryStore(files = new Map<string, string>()): StateStore & {
  readonly files: Map<string, string>;
} {
  const watchers = new Map<string, Set<() => void>>();
  const folderOf = (name: string) => name.slice(0, name.lastIndexOf('/'));
  const changed = (name: string) => {
    for (const onChange of watchers.get(folderOf(name)) ?? []) queueMicrotask(onChange);
  };
  return {
    files,
    location: 'memory',
    async list(folder) {
      const below = [...files.keys()].filter((name) => name.startsWith(`${folder}/`));
      return [...new Set(below.map((name) => name.slice(folder.length + 1).split('/')[0] ?? ''))];
    },
    async read(name) {
      return files.get(name);
    },
    async append(name, text) {
      files.set(name, (files.get(name) ?? '') + text);
      changed(name);
    },
    async create(name, text) {
      if (files.has(name)) return false;
      files.set(name, text);
      changed(name);
      return true;
    },
    async rename(from, to) {
      const text = files.get(from);
      if (text === undefined) throw new Error(`no file ${from}`);
      files.delete(from);
      files.set(to, text);
      changed(to);
    },
    async remove(name) {
      const removed = files.delete(name);
      changed(name);
      return removed;
    },
    sweep: () => Promise.resolve(),
    removeIfEmpty: () => Promise.resolve(),
    watch(folder, onChange) {
      const set = watchers.get(folder) ?? new Set();
      watchers.set(folder, set.add(onChange));
      return () => set.delete(onChange);
    },
  };
}
