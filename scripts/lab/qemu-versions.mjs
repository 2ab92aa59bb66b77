// The QEMU versions that qmplug is held to: their images, and the same programs outside of any container.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** As Debian's suites have them; docker/qemu-VERSION/Dockerfile says which suite. */
export const QEMU_VERSIONS = /** @type {const} */ (['5.2', '7.2', '10.0', '11.1']);

/** @typedef {(typeof QEMU_VERSIONS)[number]} QemuVersion */

/** What each version is unpacked with. */
export const QEMU_PROGRAMS = /** @type {const} */ ([
  'qemu-system-x86_64',
  'qemu-system-aarch64',
  'qemu-system-s390x',
]);

/** @typedef {(typeof QEMU_PROGRAMS)[number]} QemuProgram */

const DOCKERFILES = join(import.meta.dirname, '../../docker');

/** Raised when versions shall be unpacked in another way. */
const LAYOUT = 1;

/** Digest of what the images are built from; part of every name under which they are kept. */
export function imagesKey() {
  const hash = createHash('sha256').update(String(LAYOUT));
  const recipes = readdirSync(DOCKERFILES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const path of recipes.sort()) {
    hash.update(path.slice(DOCKERFILES.length)).update('\0').update(readFileSync(path));
  }
  return hash.digest('hex').slice(0, 12);
}

/** Name of a version's image in Docker's store.
 * @param {QemuVersion} version */
export function imageOf(version) {
  return `qmplug/qemu-${version}:${imagesKey()}`;
}

/** Where the unpacked versions are kept, outside any repository. */
export function qemuCache() {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(cache, 'qmplug', 'qemu', imagesKey());
}

/**
 * A program of one version that runs as a process of this machine, or undefined when it is not unpacked.
 *
 * @param {QemuVersion} version
 * @param {QemuProgram} [program]
 * @returns {string | undefined} a path, for `startQemu({ binary })` or a shell
 */
export function findQemu(version, program = 'qemu-system-x86_64') {
  const path = join(qemuCache(), version, 'bin', program);
  return existsSync(path) ? path : undefined;
}

/** The DOCKER_HOST to use; its daemon need not run. */
export function dockerHost() {
  return docker('host');
}

/**
 * Sees to it that a daemon answers.
 *
 * @returns its DOCKER_HOST, and how to end it again if it did not run before
 */
export function borrowDocker() {
  const env = { ...process.env, DOCKER_HOST: dockerHost() };
  const ran = spawnSync('docker', ['version'], { env, stdio: 'ignore' }).status === 0;
  return { host: docker('start'), giveBack: () => void (ran || docker('stop')) };
}

/** @param {string} action */
function docker(action) {
  const script = join(import.meta.dirname, '../docker.sh');
  return execFileSync('bash', [script, action], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}
