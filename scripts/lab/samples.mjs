// Linux's sample driver of mediated devices, built for the lab's kernel: headers and source out of Debian's
// packages, nothing installed. About 15 s and 150 MB of download, once for each kernel.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findKernel, kernelCache } from './kernel.mjs';

const run = promisify(execFile);
const SOURCE = 'samples/vfio-mdev/mtty.c';

/** Modules are kept beside the kernels: one directory per kernel package. */
function samplesDirectory() {
  const kernel = findKernel();
  if (!kernel) return undefined;
  return join(dirname(kernelCache()), 'samples', basename(dirname(kernel.vmlinux)));
}

/** Path of mtty.ko for the kernel fetched last, or undefined when it is not built yet. */
export function findMtty() {
  const directory = samplesDirectory();
  const path = directory && join(directory, 'mtty.ko');
  return path !== undefined && existsSync(path) ? path : undefined;
}

/**
 * Builds mtty.ko unless it is there. The file appears whole or not at all.
 *
 * @returns {Promise<string>} its path
 */
export async function buildMtty() {
  const found = findMtty();
  if (found) return found;
  const [kernel, directory] = [findKernel(), samplesDirectory()];
  if (!kernel || !directory) throw new Error('no kernel yet; run scripts/setup.sh');
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(join(directory, 'building-'));
  try {
    const version = basename(directory).split('_')[1] ?? '';
    const tree = await unpackHeaders(work, kernel.release, version);
    const sources = join(work, 'mtty');
    await unpackSource(work, kernel.release, version, sources);
    await writeFile(join(sources, 'Makefile'), 'obj-m := mtty.o\n');
    const headers = join(tree, 'usr/src', `linux-headers-${kernel.release}`);
    await run('make', ['-C', headers, `M=${sources}`, 'CC=gcc', 'modules']);
    await copyFile(join(sources, 'mtty.ko'), join(work, 'mtty.ko'));
    await rename(join(work, 'mtty.ko'), join(directory, 'mtty.ko'));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return join(directory, 'mtty.ko');
}

/** @param {string} work @param {string} release @param {string} version */
async function unpackHeaders(work, release, version) {
  const name = `linux-headers-${release}`;
  const depends = (await run('apt-cache', ['depends', name])).stdout;
  const others = [...depends.matchAll(/Depends: (linux-(?:headers|kbuild)-\S+)/g)].map(
    ([, n]) => n,
  );
  const tree = join(work, 'tree');
  for (const each of [name, ...others]) {
    await run('dpkg-deb', ['-x', await download(work, `${each}=${version}`), tree]);
  }
  // The package expects its common part below /usr/src.
  const makefile = join(tree, 'usr/src', name, 'Makefile');
  const text = await readFile(makefile, 'utf8');
  await writeFile(makefile, text.replaceAll('/usr/src/', `${tree}/usr/src/`));
  return tree;
}

/** @param {string} work @param {string} release @param {string} version @param {string} target */
async function unpackSource(work, release, version, target) {
  const series = release.split('.').slice(0, 2).join('.');
  const archive = await download(work, `linux-source-${series}=${version}`);
  const packed = `./usr/src/linux-source-${series}.tar.xz`;
  await mkdir(target);
  const script =
    'dpkg-deb --fsys-tarfile "$1" | tar -xO "$2" | tar -xJ --strip-components=3 -C "$3" "$4"';
  const member = `linux-source-${series}/${SOURCE}`;
  await run('bash', ['-euo', 'pipefail', '-c', script, 'unpack', archive, packed, target, member]);
}

/** @param {string} work @param {string} packageAndVersion @returns {Promise<string>} */
async function download(work, packageAndVersion) {
  const directory = await mkdtemp(join(work, 'deb-'));
  // APT's own download user could not write into a home directory; root downloads as root.
  await run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', packageAndVersion], {
    cwd: directory,
  });
  const file = (await readdir(directory)).find((name) => name.endsWith('.deb'));
  if (!file) throw new Error(`apt-get download left no package for ${packageAndVersion}`);
  return join(directory, file);
}
