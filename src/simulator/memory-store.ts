import type { StateStore } from '../engine/state-store.js';

/** A state store in memory: it outlives the processes that use it, as files do. */
export class MemoryStore implements StateStore {
  readonly location = 'memory:';
  readonly #files = new Map<string, string>();
  readonly #watchers = new Map<string, Set<() => void>>();

  async list(folder: string): Promise<readonly string[]> {
    const prefix = `${folder}/`;
    const below = [...this.#files.keys()].filter((name) => name.startsWith(prefix));
    return [...new Set(below.map((name) => name.slice(prefix.length).split('/')[0] ?? ''))];
  }

  async read(name: string): Promise<string | undefined> {
    return this.#files.get(name);
  }

  async append(name: string, text: string): Promise<void> {
    this.#files.set(name, (this.#files.get(name) ?? '') + text);
    this.#changed(name);
  }

  async create(name: string, text: string): Promise<boolean> {
    if (this.#files.has(name)) return false;
    this.#files.set(name, text);
    this.#changed(name);
    return true;
  }

  async rename(from: string, to: string): Promise<void> {
    const text = this.#files.get(from);
    if (text === undefined) throw Object.assign(new Error(`No file ${from}`), { code: 'ENOENT' });
    this.#files.delete(from);
    this.#files.set(to, text);
    this.#changed(from);
    this.#changed(to);
  }

  async remove(name: string): Promise<boolean> {
    const had = this.#files.delete(name);
    if (had) this.#changed(name);
    return had;
  }

  /** Files are made at once here. */
  async sweep(): Promise<void> {
    return Promise.resolve();
  }

  /** Folders are but parts of names here. */
  async removeIfEmpty(_folder: string): Promise<void> {
    return Promise.resolve();
  }

  watch(folder: string, onChange: () => void): () => void {
    const watchers = this.#watchers.get(folder) ?? new Set();
    this.#watchers.set(folder, watchers.add(onChange));
    return () => {
      watchers.delete(onChange);
    };
  }

  /** Names and texts of everything stored, in order of name. */
  get contents(): readonly (readonly [name: string, text: string])[] {
    return [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  #changed(name: string): void {
    const folder = name.slice(0, Math.max(0, name.lastIndexOf('/')));
    for (const onChange of this.#watchers.get(folder) ?? []) queueMicrotask(onChange);
  }
}
