// Disks with Debian and its own GRUB, made once and kept; a test works on what it writes over one of them.
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ownMirror } from './debian-archive.mjs';
import { kernelCache } from './kernel.mjs';

const run = promisify(execFile);
const SCRIPTS = join(import.meta.dirname, 'grub-host');
const DRACUT_PACKAGES = ['dracut', 'dracut-core'];

/** The programs that make the initramfs, one disk for each. */
export const INITRAMFS_PROGRAMS = /** @type {const} */ (['initramfs-tools', 'dracut']);

/** @typedef {(typeof INITRAMFS_PROGRAMS)[number]} InitramfsProgram */

/** Where the disks are kept: one directory for each state of what they are made of. */
export function grubDiskCache() {
  const hash = createHash('sha256').update(`${suite()} ${process.version}`);
  for (const name of ['make-disks.sh', 'init.sh']) {
    hash.update(readFileSync(join(SCRIPTS, name)));
  }
  return join(kernelCache(), '../grub-disks', hash.digest('hex').slice(0, 16));
}

/** The suite of this machine: its Node runs inside, and so on the same libraries. */
function suite() {
  return /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'none';
}

/** @param {InitramfsProgram} program @returns {string | undefined} path of the disk; undefined until it is made */
export function findGrubDisk(program) {
  const path = join(grubDiskCache(), `${program}.img`);
  return existsSync(path) ? path : undefined;
}

/** Makes both disks, unless they are there: by root or sudo. The directory appears whole or not at all. */
export async function makeGrubDisks() {
  const directory = grubDiskCache();
  if (existsSync(directory)) return;
  const cache = join(directory, '..');
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'making-'));
  try {
    const { uri } = await ownMirror();
    // APT's own download user could not write into a home directory; root downloads as root.
    const download = ['-o', 'APT::Sandbox::User=root', 'download', ...DRACUT_PACKAGES];
    await run('apt-get', download, { cwd: work });
    // debootstrap mounts /proc in its tree; in a namespace of its own that ends with it.
    const script = ['sh', join(SCRIPTS, 'make-disks.sh'), suite(), uri, process.execPath, work];
    asRoot(['unshare', '--mount', '--propagation', 'private', ...script]);
    await rename(work, directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} argv */
function asRoot(argv) {
  const [command = '', ...args] = process.getuid?.() === 0 ? argv : ['sudo', ...argv];
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  const { status } = spawnSync(command, args, {
    stdio: ['inherit', 2, 2],
    env: { ...process.env, PATH: path },
  });
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${String(status)}`);
}
