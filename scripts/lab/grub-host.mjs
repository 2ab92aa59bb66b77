// A machine with Debian, its own disk and its own GRUB, for what only a real boot can show.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ownMirror } from './debian-archive.mjs';
import { kernelCache } from './kernel.mjs';
import { endChild, makeRunDirectory, removeRunDirectory, spawnTied } from './process.mjs';

const run = promisify(execFile);
const SCRIPTS = join(import.meta.dirname, 'grub-host');
const ROOT = join(import.meta.dirname, '../..');
const MINUTE = 60_000;

/** Two network cards of one kind: one is to be bound early, its twin is not. */
const DEVICES = ['-device', 'e1000e,addr=5.0', '-device', 'e1000e,addr=6.0'];

/** The suite of this machine: its Node runs inside, and so on the same libraries. */
function suite() {
  const name = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  if (!name) throw new Error('this is no Debian: /etc/os-release has no VERSION_CODENAME');
  return name;
}

/**
 * The disk with its menu made, from the cache or made now, which takes some minutes.
 *
 * @returns {Promise<string>} the directory with `disk.img`
 */
export async function grubDisk() {
  const hash = createHash('sha256').update(`${suite()} ${process.version}`);
  for (const name of ['make-disk.sh', 'init.sh', 'first-boot.sh']) {
    hash.update(readFileSync(join(SCRIPTS, name)));
  }
  const cache = join(kernelCache(), '../grub-hosts');
  const directory = join(cache, hash.digest('hex').slice(0, 16));
  if (existsSync(directory)) return directory;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'making-'));
  try {
    const { uri } = await ownMirror();
    const argv = [join(SCRIPTS, 'make-disk.sh'), suite(), uri, work];
    await run('sh', argv, { maxBuffer: 2 ** 26, timeout: 15 * MINUTE });
    const files = { 'scenario.sh': readFileSync(join(SCRIPTS, 'first-boot.sh'), 'utf8') };
    await boot(work, join(work, 'disk.img'), files, {
      deadlineMs: 15 * MINUTE,
      args: [
        ...['-kernel', join(work, 'vmlinuz'), '-initrd', join(work, 'initrd')],
        ...['-append', 'root=/dev/vda1 ro console=ttyS0 init=/lab-init'],
      ],
    });
    await rename(work, directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return directory;
}

/**
 * Runs the scenario on a copy of the disk, through all of its reboots.
 *
 * @param {object} desired the desired state
 * @returns {Promise<string>} what the machine wrote to its console
 */
export async function runSetupScenario(desired) {
  const base = await grubDisk();
  const work = makeRunDirectory();
  try {
    const disk = join(work, 'disk.img');
    await run('cp', ['--sparse=always', join(base, 'disk.img'), disk]);
    const files = {
      'scenario.sh': readFileSync(join(SCRIPTS, 'scenario.sh'), 'utf8'),
      'host.json': JSON.stringify(desired),
    };
    return await boot(work, disk, files, { deadlineMs: 25 * MINUTE, args: [] });
  } finally {
    removeRunDirectory(work);
  }
}

/**
 * @param {string} work
 * @param {string} disk
 * @param {Readonly<Record<string, string>>} files beside the built program on the second disk
 * @param {{ deadlineMs: number, args: readonly string[] }} options
 */
async function boot(work, disk, files, { deadlineMs, args }) {
  const parcel = await pack(work, files);
  const child = spawnTied('qemu-system-x86_64', [
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-smp', '2', '-m', '768'],
    ...['-nodefaults', '-display', 'none', '-no-user-config', '-device', 'intel-iommu'],
    ...['-drive', `if=none,id=root,file=${disk},format=raw`],
    ...['-device', 'virtio-blk-pci,drive=root,bootindex=1'],
    ...['-drive', `if=none,id=parcel,file=${parcel},format=raw,readonly=on`],
    ...['-device', 'virtio-blk-pci,drive=parcel', ...DEVICES, '-serial', 'stdio', ...args],
  ]);
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (said += String(text)));
  child.stderr?.resume();
  const timer = setTimeout(() => void endChild(child), deadlineMs);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  if (code === 0) return said;
  throw new Error(`the machine did not power off in ${deadlineMs} ms: ${said.slice(-2000)}`);
}

/** @param {string} work @param {Readonly<Record<string, string>>} files */
async function pack(work, files) {
  const parcel = join(work, 'parcel');
  mkdirSync(parcel, { recursive: true });
  if (existsSync(join(ROOT, 'dist')))
    cpSync(join(ROOT, 'dist'), join(parcel, 'dist'), { recursive: true });
  copyFileSync(join(ROOT, 'package.json'), join(parcel, 'package.json'));
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const name of withDependencies(Object.keys(dependencies))) {
    cpSync(join(ROOT, 'node_modules', name), join(parcel, 'node_modules', name), {
      recursive: true,
    });
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(parcel, name), text);
  const archive = join(work, 'parcel.tar');
  await run('tar', ['-C', parcel, '-cf', archive, ...readdirSync(parcel)]);
  return archive;
}

/** @param {readonly string[]} names @returns {readonly string[]} */
function withDependencies(names) {
  return names.flatMap((name) => {
    const path = join(ROOT, 'node_modules', name, 'package.json');
    const { dependencies = {} } = JSON.parse(readFileSync(path, 'utf8'));
    return [name, ...withDependencies(Object.keys(dependencies))];
  });
}
