// A Linux kernel for the machines of the lab, taken out of Debian's package without installing it.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { extractVmlinux } from './vmlinux.mjs';

const run = promisify(execFile);

/** Debian's name for "the current kernel of this suite". */
const META_PACKAGE = 'linux-image-amd64';

/**
 * @typedef {object} Kernel
 * @property {string} release as `uname -r` prints it
 * @property {string} bzImage path of the packed kernel, which any firmware can start
 * @property {string} vmlinux path of the unpacked one, which starts sooner, but not under OVMF
 * @property {string} modulesDirectory the `lib/modules/<release>` of this kernel
 */

/** Where kernels are kept, outside any repository: one directory per package and version. */
export function kernelCache() {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(cache, 'qmplug', 'kernels');
}

/** The kernel fetched last, or undefined when there is none yet.
 * @returns {Kernel | undefined} */
export function findKernel() {
  const cache = kernelCache();
  if (!existsSync(cache)) return undefined;
  const [newest] = readdirSync(cache)
    .filter((name) => name.startsWith('linux-image-'))
    .map((name) => join(cache, name))
    .sort((a, b) => statSync(b).ctimeMs - statSync(a).ctimeMs);
  return newest === undefined ? undefined : readKernel(newest);
}

/** @param {string} directory @returns {Kernel} */
function readKernel(directory) {
  const [release] = readdirSync(join(directory, 'modules'));
  if (!release) throw new Error(`${directory} holds no kernel; remove it and fetch again`);
  return {
    release,
    bzImage: join(directory, 'vmlinuz'),
    vmlinux: join(directory, 'vmlinux'),
    modulesDirectory: join(directory, 'modules', release),
  };
}

/**
 * The package that {@link fetchKernel} would download, as `name_version`.
 *
 * @throws when APT's lists do not know it, as on a machine where `apt-get update` never ran.
 */
export async function resolveKernelPackage() {
  const depends = await run('apt-cache', ['depends', META_PACKAGE]);
  const name = /Depends: (linux-image-\S+)/.exec(depends.stdout)?.[1];
  if (!name) throw new Error(`APT does not know what ${META_PACKAGE} depends on`);
  const show = await run('apt-cache', ['show', '--no-all-versions', name]);
  const version = /^Version: (\S+)$/m.exec(show.stdout)?.[1];
  if (!version) throw new Error(`APT does not know the version of ${name}`);
  return { name, version };
}

/**
 * Downloads and unpacks the suite's current kernel, unless it is there already. Needs no root:
 * nothing is installed. The directory appears whole or not at all.
 *
 * @returns {Promise<Kernel>}
 */
export async function fetchKernel() {
  const { name, version } = await resolveKernelPackage();
  const cache = kernelCache();
  const directory = join(cache, `${name}_${version}`);
  if (existsSync(directory)) return readKernel(directory);
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'fetching-'));
  try {
    await unpack(`${name}=${version}`, work);
    await rename(join(work, 'kernel'), directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return readKernel(directory);
}

/** @param {string} packageAndVersion @param {string} work */
async function unpack(packageAndVersion, work) {
  // APT's own download user could not write into a home directory; root downloads as root.
  await run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', packageAndVersion], {
    cwd: work,
  });
  const archive = (await readdir(work)).find((name) => name.endsWith('.deb'));
  if (!archive) throw new Error(`apt-get download left no package for ${packageAndVersion}`);
  const tree = join(work, 'tree');
  await run('dpkg-deb', ['-x', join(work, archive), tree]);
  // Debian 13 ships modules below usr/lib, Debian 12 below lib.
  const lib = existsSync(join(tree, 'usr/lib/modules')) ? join(tree, 'usr/lib') : join(tree, 'lib');
  const [release] = await readdir(join(lib, 'modules'));
  if (!release) throw new Error(`${packageAndVersion} holds no modules`);
  // The package leaves the dependency index to its postinst, which never runs here.
  await run('/sbin/depmod', ['-b', join(lib, '..'), release]);
  const kernel = join(work, 'kernel');
  await mkdir(kernel);
  const bzImage = await readFile(join(tree, `boot/vmlinuz-${release}`));
  await writeFile(join(kernel, 'vmlinuz'), bzImage);
  await writeFile(join(kernel, 'vmlinux'), extractVmlinux(bzImage));
  renameSync(join(lib, 'modules'), join(kernel, 'modules'));
}

/**
 * Files to load, in order, so that the named modules work: dependencies first, nothing twice.
 * Modules built into the kernel have no file and are left out.
 *
 * @param {Pick<Kernel, 'modulesDirectory'>} kernel
 * @param {readonly string[]} names
 */
export function moduleFiles({ modulesDirectory }, names) {
  const index = readFileSync(join(modulesDirectory, 'modules.dep'), 'utf8');
  const builtIn = readFileSync(join(modulesDirectory, 'modules.builtin'), 'utf8');
  /** @type {Map<string, readonly string[]>} */
  const filesByName = new Map();
  for (const line of index.split('\n')) {
    const [path, dependencies = ''] = line.split(':');
    if (!path) continue;
    const needed = dependencies.trim().split(' ').filter(Boolean).reverse();
    filesByName.set(moduleName(path), [...needed, path]);
  }
  const builtInNames = new Set(builtIn.split('\n').map(moduleName));
  const files = names.flatMap((name) => {
    const found = filesByName.get(moduleName(name));
    if (!found && !builtInNames.has(moduleName(name))) {
      throw new Error(`the kernel in ${modulesDirectory} has no module ${name}`);
    }
    return found ?? [];
  });
  return [...new Set(files)].map((path) => join(modulesDirectory, path));
}

/** The kernel's own name of a module: no directory, no suffix, no dashes.
 * @param {string} path */
function moduleName(path) {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return base.replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_');
}

/** A module's bytes, unpacked: Debian 13 compresses its modules with xz.
 * @param {string} path */
export async function readModule(path) {
  if (!path.endsWith('.xz')) return readFile(path);
  const { stdout } = await run('xz', ['-dc', path], { encoding: 'buffer', maxBuffer: 2 ** 28 });
  return stdout;
}
