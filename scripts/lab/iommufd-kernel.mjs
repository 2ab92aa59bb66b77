// A small Linux kernel with iommufd and the vfio cdev, which Debian's own kernels lack, for the nested VFIO lab:
// built from Debian's linux-source package with scripts/lab/iommufd-kernel.config. About five minutes on two
// idle processors, once for each version of source and configuration; nothing is installed.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { kernelCache } from './kernel.mjs';

const run = promisify(execFile);

/** Debian 12 has it in its security suite, Debian 13 in the main one. */
const SOURCE = 'linux-source-6.12';
const CONFIGURATION = join(import.meta.dirname, 'iommufd-kernel.config');

/** Raised when the kernel shall be built in another way. */
const LAYOUT = 1;

/** @typedef {import('./kernel.mjs').Kernel} Kernel */

/** One directory for each version of source and configuration. */
function cacheDirectory() {
  return join(dirname(kernelCache()), 'iommufd-kernels');
}

/** Digest of the configuration: part of the name. */
function configurationKey() {
  const hash = createHash('sha256').update(String(LAYOUT)).update(readFileSync(CONFIGURATION));
  return hash.digest('hex').slice(0, 12);
}

/** The kernel of this configuration, built from the newest source there was; undefined when there is none yet.
 * @returns {Kernel | undefined} */
export function findIommufdKernel() {
  const cache = cacheDirectory();
  if (!existsSync(cache)) return undefined;
  const suffix = `_${configurationKey()}`;
  const newest = readdirSync(cache)
    .filter((name) => name.startsWith(SOURCE) && name.endsWith(suffix))
    .sort()
    .at(-1);
  return newest === undefined ? undefined : readKernel(join(cache, newest));
}

/** @param {string} directory @returns {Kernel} */
function readKernel(directory) {
  const [release] = readdirSync(join(directory, 'modules'));
  if (!release) throw new Error(`${directory} holds no kernel; remove it and build again`);
  return {
    release,
    bzImage: join(directory, 'vmlinuz'),
    vmlinux: join(directory, 'vmlinux'),
    modulesDirectory: join(directory, 'modules', release),
  };
}

/**
 * Builds the kernel, unless it is there already. Needs no root. The directory appears whole or not at all.
 *
 * @returns {Promise<Kernel>}
 */
export async function buildIommufdKernel() {
  const found = findIommufdKernel();
  if (found) return found;
  const cache = cacheDirectory();
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'building-'));
  try {
    const { version, sources } = await unpackSource(work);
    await configure(sources);
    await make(sources, ['bzImage', 'modules']);
    await collect(sources, join(work, 'kernel'));
    const directory = join(cache, `${SOURCE}_${version}_${configurationKey()}`);
    await rename(join(work, 'kernel'), directory);
    return readKernel(directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @param {string} work */
async function unpackSource(work) {
  const packages = join(work, 'package');
  await mkdir(packages);
  // APT's own download user could not write into a home directory; root downloads as root.
  await run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', SOURCE], {
    cwd: packages,
  });
  const archive = (await readdir(packages)).find((name) => name.endsWith('.deb'));
  if (!archive) throw new Error(`apt-get download left no package for ${SOURCE}`);
  const [, version = ''] = archive.split('_');
  const sources = join(work, 'sources');
  await mkdir(sources);
  const script =
    'dpkg-deb --fsys-tarfile "$1" | tar -xO "$2" | tar -xJ --strip-components=1 -C "$3"';
  const packed = `./usr/src/${SOURCE}.tar.xz`;
  await run('bash', [
    ...['-euo', 'pipefail', '-c', script, 'unpack'],
    ...[join(packages, archive), packed, sources],
  ]);
  await rm(packages, { recursive: true });
  return { version: decodeURIComponent(version), sources };
}

/** The smallest configuration there is, with what the lab needs. @param {string} sources */
async function configure(sources) {
  await make(sources, ['tinyconfig']);
  await run('scripts/kconfig/merge_config.sh', ['-m', '.config', CONFIGURATION], { cwd: sources });
  await make(sources, ['olddefconfig']);
  const actual = new Set((await readFile(join(sources, '.config'), 'utf8')).split('\n'));
  const wanted = (await readFile(CONFIGURATION, 'utf8'))
    .split('\n')
    .filter((line) => /^CONFIG_\w+=[ym]$/.test(line));
  const missing = wanted.filter((line) => !actual.has(line));
  if (missing.length > 0)
    throw new Error(`the kernel's configuration has no ${missing.join(', ')}`);
}

/** @param {string} sources @param {readonly string[]} targets */
async function make(sources, targets) {
  const jobs = `-j${availableParallelism()}`;
  await run('nice', ['-n', '10', 'make', jobs, ...targets], {
    cwd: sources,
    maxBuffer: 2 ** 28,
    // The same bytes wherever and whenever it is built.
    env: {
      ...process.env,
      KBUILD_BUILD_TIMESTAMP: '2025-01-01',
      KBUILD_BUILD_USER: 'qmplug',
      KBUILD_BUILD_HOST: 'lab',
    },
  });
}

/** @param {string} sources a built tree @param {string} kernel */
export async function collect(sources, kernel) {
  await mkdir(kernel);
  await make(sources, [`INSTALL_MOD_PATH=${kernel}`, 'modules_install']);
  await rename(join(kernel, 'lib/modules'), join(kernel, 'modules'));
  await rm(join(kernel, 'lib'), { recursive: true });
  for (const release of await readdir(join(kernel, 'modules'))) {
    await rm(join(kernel, 'modules', release, 'build'), { force: true });
  }
  await copyFile(join(sources, 'arch/x86/boot/bzImage'), join(kernel, 'vmlinuz'));
  await copyFile(join(sources, 'vmlinux'), join(kernel, 'vmlinux'));
}
