import { lstatSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import type { RecordedRead } from '../index.js';

/**
 * Writes what was read as a tree that stands in for the host: `sys`, `proc` and `dev` below the directory. What
 * could not be read becomes a directory, so that reading it fails there too and is not taken for absence.
 */
export function writeTree(directory: string, reads: ReadonlyMap<string, RecordedRead>): void {
  mkdirSync(directory, { recursive: true });
  const root = realpathSync(directory);
  const byDepth = [...reads].sort(([a], [b]) => depth(a) - depth(b) || (a < b ? -1 : 1));
  // Links first, as the rest lies behind them; names that were only seen last, as they may be directories.
  for (const kinds of [['link'], ['directory'], ['file', 'node', 'unreadable']]) {
    for (const [path, read] of byDepth) {
      const at = kinds.includes(read.kind) ? placeOf(root, path) : undefined;
      if (at !== undefined) writeOne(root, at, read);
    }
  }
  for (const [path, read] of byDepth) {
    if (read.kind !== 'directory') continue;
    for (const name of read.names) {
      const at = placeOf(root, `${path}/${name}`);
      if (at !== undefined) makePlaceholder(at);
    }
  }
  for (const name of ['sys', 'proc', 'dev']) mkdirSync(join(root, name), { recursive: true });
}

const depth = (path: string) => path.split('/').length;

/** Where a path lies once the links above it are followed; undefined where they lead out of the tree. */
function placeOf(root: string, path: string): string | undefined {
  const parent = join(root, dirname(path));
  try {
    mkdirSync(parent, { recursive: true });
    const real = realpathSync(parent);
    if (real !== root && !real.startsWith(root + sep)) return undefined;
    return join(real, path.slice(path.lastIndexOf('/') + 1));
  } catch {
    // Above it is a file, or a link that leads nowhere in this tree.
    return undefined;
  }
}

function writeOne(root: string, at: string, read: RecordedRead): void {
  const there = lstatSync(at, { throwIfNoEntry: false });
  switch (read.kind) {
    case 'link':
      if (there === undefined) makeLink(root, at, read.target);
      return;
    case 'file':
      if (there === undefined || there.isFile()) writeFileSync(at, read.bytes);
      return;
    case 'directory':
      if (there === undefined) mkdirSync(at);
      return;
    case 'node':
      if (there === undefined) makePlaceholder(at, read.stat.kind === 'directory');
      return;
    case 'unreadable':
      if (there === undefined) mkdirSync(at);
  }
}

function makeLink(root: string, at: string, target: string): void {
  symlinkSync(target, at);
  const end = resolve(dirname(at), target);
  // What a link of sysfs leads to is there, as far as it lies in the tree.
  if (!isAbsolute(target) && end.startsWith(root + sep)) mkdirSync(end, { recursive: true });
}

function makePlaceholder(at: string, isDirectory = false): void {
  if (lstatSync(at, { throwIfNoEntry: false }) !== undefined) return;
  if (isDirectory) mkdirSync(at);
  else writeFileSync(at, '');
}
