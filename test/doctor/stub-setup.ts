import { readFileSync, readdirSync } from 'node:fs';
import { HostIoError } from '../../src/host/effects.js';
import { ABSENT, newFile } from '../../src/host/setup/file-state.js';
import type { SetupHost } from '../../src/host/setup/index.js';
import type { HostTree } from '../host/sysfs-tree.js';

/**
 * The set-up of a tree. A program is there where any command line begins with its name, and prints what stands
 * beside the one that is run; null fails.
 */
export function stubSetup(
  tree: HostTree,
  programs: Readonly<Record<string, string | null>>,
  denied: readonly string[] = [],
): SetupHost {
  const never = (what: string) => () => Promise.reject(new Error(`a check would ${what}`));
  const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);
  const text = (path: string) => {
    if (denied.some((each) => path === each || path.startsWith(`${each}/`))) {
      throw new HostIoError('EACCES', 'read', path);
    }
    return tree.has(path) ? readFileSync(tree.real(path), 'utf8') : undefined;
  };
  return {
    root: '/',
    architecture: 'x86_64',
    isMachine: true,
    async readFile(path) {
      const found = text(path);
      return found === undefined ? ABSENT : newFile(found);
    },
    list: async (path) => (tree.has(path) ? readdirSync(tree.real(path)).sort() : []),
    exists: async (path) => tree.has(path),
    readAttribute: async (path) => (text(path) ?? '').replace(/\n$/, ''),
    missingDirectories: async () => [],
    findProgram: async (name) =>
      Object.keys(programs).some((line) => line.split(' ')[0] === name)
        ? `/usr/bin/${name}`
        : undefined,
    async run([program = '', ...args]) {
      const line = [nameOf(program), ...args].join(' ');
      const stdout = programs[line];
      return typeof stdout === 'string'
        ? { status: 0, stdout, stderr: '' }
        : { status: 1, stdout: '', stderr: `${line}: it fails` };
    },
    writeFile: never('write a file'),
    writeAttribute: never('write an attribute'),
    removeDirectory: never('remove a directory'),
  };
}
