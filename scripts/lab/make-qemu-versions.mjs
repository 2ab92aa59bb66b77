// Builds the images of docker/ and unpacks QEMU from each, so that it also runs without a container.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import {
  borrowDocker,
  dockerHost,
  findQemu,
  imageOf,
  qemuCache,
  QEMU_PROGRAMS,
  QEMU_VERSIONS,
} from './qemu-versions.mjs';

/** @typedef {import('./qemu-versions.mjs').QemuVersion} QemuVersion */

const DOCKERFILES = join(import.meta.dirname, '../../docker');
const LOADER = 'lib64/ld-linux-x86-64.so.2';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** Where Debian keeps firmware and option ROMs; not every suite has every directory. */
const DATA = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'];

/** Whether nothing is left to make. Asks no daemon: none need run. */
export function findQemuVersions() {
  const built = builtRecord();
  return (
    existsSync(built) &&
    readFileSync(built, 'utf8') === dockerHost() &&
    QEMU_VERSIONS.every((version) => findQemu(version) !== undefined)
  );
}

/** Makes what is missing, with the daemon that is there or one that runs meanwhile. */
export async function makeQemuVersions() {
  const { host, giveBack } = borrowDocker();
  try {
    for (const version of QEMU_VERSIONS) {
      buildImage(host, version);
      if (findQemu(version) === undefined) await unpack(host, version);
    }
    await writeFile(builtRecord(), host);
  } finally {
    giveBack();
  }
}

/** Names the daemon whose store has the images. */
function builtRecord() {
  return join(qemuCache(), 'images-in');
}

/** @param {string} host @param {QemuVersion} version */
function buildImage(host, version) {
  const image = imageOf(version);
  if (docker(host, ['image', 'inspect', image]).status === 0) return;
  const directory = join(DOCKERFILES, `qemu-${version}`);
  const suite = /^FROM debian:(\w+)-slim/m.exec(
    readFileSync(join(directory, 'Dockerfile'), 'utf8'),
  )?.[1];
  if (!suite) throw new Error(`${directory}/Dockerfile is not based on debian:SUITE-slim`);
  run('bash', [join(DOCKERFILES, 'base-images.sh'), suite], host);
  console.log(`building ${image}`);
  // A bridge may be missing, as with the daemon of scripts/docker.sh.
  run('docker', ['build', '--quiet', '--network', 'host', '--tag', image, directory], host);
}

/** The directory appears whole or not at all. @param {string} host @param {QemuVersion} version */
async function unpack(host, version) {
  console.log(`unpacking QEMU ${version}`);
  mkdirSync(qemuCache(), { recursive: true });
  const work = mkdtempSync(join(qemuCache(), 'unpacking-'));
  const created = docker(host, ['create', imageOf(version)]);
  if (created.status !== 0) throw new Error(`docker create: ${created.stderr}`);
  const container = created.stdout.trim();
  try {
    exportTree(host, container, join(work, 'root'));
    mkdirSync(join(work, 'bin'));
    for (const program of QEMU_PROGRAMS) {
      const script = join(work, 'bin', program);
      await writeFile(script, launcher(join(work, 'root'), program));
      chmodSync(script, 0o755);
      checkVersion(script, version);
    }
    await rename(work, join(qemuCache(), version));
  } finally {
    docker(host, ['rm', container]);
    await rm(work, { recursive: true, force: true });
  }
}

/** @param {string} program @param {QemuVersion} version */
function checkVersion(program, version) {
  const { stdout, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (stdout.startsWith(`QEMU emulator version ${version}.`)) return;
  throw new Error(`${program} --version said ${JSON.stringify(stdout + stderr)}`);
}

/**
 * Unpacks what QEMU needs of a container's files. The pipe between the two programs is the shell's: only of
 * a real pipe does GNU tar read what follows the end of the archive, and Node's are sockets.
 *
 * @param {string} host @param {string} container @param {string} root
 */
function exportTree(host, container, root) {
  mkdirSync(root);
  const wanted = ['lib', 'lib64', 'usr/lib', 'usr/lib64', 'usr/share/qemu', 'usr/share/seabios'];
  const programs = QEMU_PROGRAMS.map((program) => `usr/bin/${program}`);
  const script = 'set -o pipefail; docker export "$1" | tar -x --no-same-owner -C "$2" "${@:3}"';
  run('bash', ['-c', script, 'bash', container, root, ...wanted, ...programs], host);
}

/**
 * Runs a program with the libraries it was built with, through their own loader. The kernel then names the
 * process after the loader, so QEMU is asked to take its usual name.
 *
 * @param {string} root
 * @param {string} program
 */
function launcher(root, program) {
  // The link may be absolute, and would then lead to this machine's loader.
  const loader = posix.resolve('/', dirname(LOADER), readlinkSync(join(root, LOADER)));
  const data = DATA.filter((path) => existsSync(join(root, path)));
  return `#!/bin/sh
# Made by scripts/lab/make-qemu-versions.mjs.
root=$(dirname "$(dirname "$0")")/root
export QEMU_MODULE_DIR="$root/${LIBRARIES}/qemu"
exec "$root${loader}" --library-path "$root/${LIBRARIES}" "$root/usr/bin/${program}" \\
${data.map((path) => `  -L "$root/${path}" \\\n`).join('')}  -name process=${program} "$@"
`;
}

/** @param {string} host @param {readonly string[]} args */
function docker(host, args) {
  return spawnSync('docker', args, {
    encoding: 'utf8',
    env: { ...process.env, DOCKER_HOST: host },
  });
}

/** @param {string} command @param {readonly string[]} args @param {string} host */
function run(command, args, host) {
  // BuildKit is a plug-in that Debian 12 does not have; nothing here needs it.
  const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '0' };
  const { status } = spawnSync(command, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with status ${status}`);
}
