// Linux kernels and busybox of other architectures, taken out of Debian's packages without installing them.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ARCHITECTURES } from './architectures.mjs';
import { DebianArchive } from './debian-archive.mjs';
import { kernelCache } from './kernel.mjs';

const run = promisify(execFile);

/**
 * @typedef {object} ForeignKernel
 * @property {string} release as `uname -r` prints it
 * @property {string} image what QEMU takes as `-kernel`
 * @property {string} modulesDirectory the `lib/modules/<release>` of this kernel
 * @property {string} busybox statically linked, for that architecture
 */

/** @typedef {import('./architectures.mjs').ArchitectureName} ArchitectureName */

/** One directory per kernel and busybox version.
 * @param {ArchitectureName} architecture */
export function foreignCache(architecture) {
  return join(dirname(kernelCache()), 'machines', architecture);
}

/** What was fetched last, or undefined when there is none yet.
 * @param {ArchitectureName} architecture @returns {ForeignKernel | undefined} */
export function findForeignKernel(architecture) {
  const cache = foreignCache(architecture);
  if (!existsSync(cache)) return undefined;
  const [newest] = readdirSync(cache)
    .filter((name) => name.startsWith('linux-image-'))
    .map((name) => join(cache, name))
    .sort((a, b) => statSync(b).ctimeMs - statSync(a).ctimeMs);
  return newest === undefined ? undefined : readForeignKernel(newest);
}

/**
 * Downloads the current kernel and busybox of an architecture, unless they are there already. Needs no
 * root. The directory appears whole or not at all.
 *
 * @param {ArchitectureName} architecture
 * @returns {Promise<ForeignKernel>}
 */
export async function fetchForeignKernel(architecture) {
  const { debian, suite, metaPackage } = ARCHITECTURES[architecture];
  const cache = foreignCache(architecture);
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'fetching-'));
  try {
    const archive = new DebianArchive(work, debian);
    await archive.update(suite);
    const kernel = await archive.candidate(
      await archive.dependency(metaPackage, /^linux-image-\d/),
    );
    const busybox = await archive.candidate('busybox-static');
    const directory = join(cache, `${kernel.name}_${kernel.version}_${busybox.version}`);
    if (existsSync(directory)) return readForeignKernel(directory);
    const tree = join(work, 'tree');
    await archive.unpack([kernel, busybox], tree);
    await collect(tree, join(work, 'machine'));
    await rename(join(work, 'machine'), directory);
    return readForeignKernel(directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @param {string} tree @param {string} target */
async function collect(tree, target) {
  // Debian 13 ships modules and programs below usr.
  const lib = existsSync(join(tree, 'usr/lib/modules')) ? join(tree, 'usr/lib') : join(tree, 'lib');
  const bin = existsSync(join(tree, 'usr/bin/busybox')) ? join(tree, 'usr/bin') : join(tree, 'bin');
  const [release] = await readdir(join(lib, 'modules'));
  if (!release) throw new Error('the package holds no modules');
  // The package leaves the dependency index to its postinst, which never runs here.
  await run('/sbin/depmod', ['-b', join(lib, '..'), release]);
  const image = (await readdir(join(tree, 'boot'))).find((name) => /^vmlinu[xz]-/.test(name));
  if (!image) throw new Error('the package holds no kernel');
  await mkdir(target);
  await cp(join(tree, 'boot', image), join(target, 'vmlinuz'));
  await cp(join(bin, 'busybox'), join(target, 'busybox'));
  await rename(join(lib, 'modules'), join(target, 'modules'));
}

/** @param {string} directory @returns {ForeignKernel} */
function readForeignKernel(directory) {
  const [release] = readdirSync(join(directory, 'modules'));
  if (!release) throw new Error(`${directory} holds no kernel; remove it and fetch again`);
  return {
    release,
    image: join(directory, 'vmlinuz'),
    modulesDirectory: join(directory, 'modules', release),
    busybox: join(directory, 'busybox'),
  };
}
