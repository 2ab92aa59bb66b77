// The first file system of a lab machine: busybox, an /init, and the modules it loads.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { characterDevice, directory, file, makeCpio, program } from './cpio.mjs';
import { moduleFiles, readModule } from './kernel.mjs';

const BUSYBOX = '/bin/busybox';

/**
 * @typedef {object} InitramfsOptions
 * @property {Pick<import('./kernel.mjs').Kernel, 'modulesDirectory'>} kernel
 * @property {string} [busybox] default: this machine's own
 * @property {string} init text of /init, a script for `/bin/busybox sh`
 * @property {readonly string[]} [modules] loaded in this order, with what they depend on
 * @property {Readonly<Record<string, string>>} [files] further files at the top: name to text
 */

/**
 * Makes the archive. /init finds the names of the module files, in loading order, in /modules.list.
 *
 * @param {InitramfsOptions} options
 */
export async function makeInitramfs(options) {
  const { kernel, busybox = BUSYBOX, init, modules = [], files = {} } = options;
  const paths = moduleFiles(kernel, modules);
  const names = paths.map((path) => `/modules/${basename(path).replace(/\.xz$/, '')}`);
  const contents = await Promise.all(paths.map(readModule));
  return makeCpio([
    ...['bin', 'dev', 'proc', 'sys', 'run', 'tmp', 'modules'].map(directory),
    characterDevice('dev/console', 5, 1),
    program('bin/busybox', await readFile(busybox)),
    program('init', init),
    file('modules.list', names.map((name) => `${name}\n`).join('')),
    ...names.map((name, index) => file(name.slice(1), contents[index] ?? '')),
    ...Object.entries(files).map(([name, text]) => file(name, text)),
  ]);
}
