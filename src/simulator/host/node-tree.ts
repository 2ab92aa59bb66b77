import { KernelError } from './errno.js';

/** What a path of the simulated host leads to. Nodes are made when they are looked up. */
export type Node = DirectoryNode | LinkNode | FileNode | SpecialNode;

export interface DirectoryNode {
  readonly kind: 'directory';
  names(): Iterable<string>;
  get(name: string): Node | undefined;
}

export interface LinkNode {
  readonly kind: 'link';
  readonly target: string;
}

export interface FileNode {
  readonly kind: 'file';
  /** Permission bits; sysfs attributes are 0644, 0444 or 0200. */
  readonly mode: number;
  readonly read?: (() => string | Uint8Array | Promise<string>) | undefined;
  readonly write?: ((data: string) => Promise<void> | void) | undefined;
}

export interface SpecialNode {
  readonly kind: 'special';
  readonly what: 'character' | 'block' | 'socket';
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
  readonly inode: bigint;
  /** Where owner and mode are kept; chown and chmod write to it. */
  readonly owner: { uid: number; gid: number; mode: number };
}

/** A directory made of entries that are only computed when somebody asks for them. */
export function directory(entries: Readonly<Record<string, () => Node>>): DirectoryNode {
  return {
    kind: 'directory',
    names: () => Object.keys(entries),
    get: (name) => (Object.hasOwn(entries, name) ? entries[name]?.() : undefined),
  };
}

/** Entries that depend on what they describe; undefined where that has none of the kind. */
export type EntryTable<T> = Readonly<Record<string, (subject: T) => Node | undefined>>;

/** A directory of the entries that the subject has now. */
export function tabled<T>(table: EntryTable<T>, subject: T): DirectoryNode {
  const get = (name: string) => (Object.hasOwn(table, name) ? table[name]?.(subject) : undefined);
  return {
    kind: 'directory',
    names: () => Object.keys(table).filter((name) => get(name) !== undefined),
    get,
  };
}

/** A directory over live data: `names` and `get` look at it each time. */
export function listing(
  names: () => Iterable<string>,
  get: (name: string) => Node | undefined,
): DirectoryNode {
  return { kind: 'directory', names, get };
}

export const link = (target: string): LinkNode => ({ kind: 'link', target });

export const file = (read: () => string | Uint8Array | Promise<string>): FileNode => ({
  kind: 'file',
  mode: 0o444,
  read,
});

/** A write-only attribute. */
export const control = (write: (data: string) => Promise<void> | void): FileNode => ({
  kind: 'file',
  mode: 0o200,
  write,
});

export const setting = (
  read: () => string | Promise<string>,
  write: (data: string) => Promise<void> | void,
): FileNode => ({ kind: 'file', mode: 0o644, read, write });

/** Several trees in one place; entries of the first one win, directories are merged. */
export function merge(trees: readonly DirectoryNode[]): DirectoryNode {
  return {
    kind: 'directory',
    names: () => new Set(trees.flatMap((tree) => [...tree.names()])),
    get(name) {
      const directories: DirectoryNode[] = [];
      for (const tree of trees) {
        const node = tree.get(name);
        if (node?.kind === 'directory') directories.push(node);
        else if (node !== undefined && directories.length === 0) return node;
      }
      return directories.length > 1 ? merge(directories) : directories[0];
    },
  };
}

/** A tree of fixed files, from their absolute paths. */
export function fixedTree(files: Readonly<Record<string, string>>, below = ''): DirectoryNode {
  const paths = Object.keys(files).filter((path) => path.startsWith(`${below}/`));
  const nameOf = (path: string) => path.slice(below.length + 1).split('/')[0] ?? '';
  return {
    kind: 'directory',
    names: () => new Set(paths.map(nameOf)),
    get(name) {
      const path = `${below}/${name}`;
      const content = files[path];
      if (content !== undefined) return file(() => content);
      return paths.some((other) => nameOf(other) === name) ? fixedTree(files, path) : undefined;
    },
  };
}

/** MAXSYMLINKS of Linux. */
const MAX_LINKS = 40;

/**
 * Walks a path as the kernel does.
 *
 * @throws {KernelError} `ENOENT`, `ENOTDIR`, `ELOOP`.
 */
export function resolve(root: DirectoryNode, path: string, followLast: boolean): Node {
  const waiting = path.split('/').reverse();
  const trail: { readonly name: string; readonly node: Node }[] = [];
  let linksLeft = MAX_LINKS;
  const here = () => trail.at(-1)?.node ?? root;
  while (waiting.length > 0) {
    const name = waiting.pop() ?? '';
    if (name === '' || name === '.') continue;
    if (name === '..') {
      trail.pop();
      continue;
    }
    const parent = here();
    if (parent.kind !== 'directory') throw new KernelError('ENOTDIR');
    const node = parent.get(name);
    if (node === undefined) throw new KernelError('ENOENT');
    const last = waiting.every((rest) => rest === '' || rest === '.');
    if (node.kind !== 'link' || (last && !followLast)) {
      trail.push({ name, node });
      continue;
    }
    if (linksLeft-- === 0) throw new KernelError('ELOOP');
    if (node.target.startsWith('/')) trail.length = 0;
    waiting.push(...node.target.split('/').reverse());
  }
  return here();
}
