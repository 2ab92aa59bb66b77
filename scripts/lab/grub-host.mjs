// A machine with Debian, its own disk and its own GRUB, for what only a real boot can show.
import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endChild, makeRunDirectory, removeRunDirectory, spawnTied } from './process.mjs';
import { HOST_CPU } from './qemu.mjs';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');

/** Two network cards of one kind, not to boot from: one is to be bound early, its twin is not. */
const DEVICES = ['5.0', '6.0'].flatMap((addr) => ['-device', `e1000e,addr=${addr},romfile=`]);

/**
 * @typedef {object} GrubBoot
 * @property {string} disk
 * @property {Readonly<Record<string, string>>} files beside the built program in /opt/qmplug; the machine runs
 *   `scenario.sh` there at every boot, and powers off behind it unless that reboots
 * @property {number} deadlineMs
 */

/**
 * Boots a disk, which stays as it is, and waits until the machine powers off, through all of its reboots. With
 * `QMPLUG_CONSOLE` set, what it says is seen while it runs.
 *
 * @param {GrubBoot} boot
 * @returns {Promise<string>} what it wrote to its console
 */
export async function bootGrubDisk({ disk, files, deadlineMs }) {
  const work = makeRunDirectory();
  try {
    const parcel = await pack(work, files);
    return await untilPowerOff(deadlineMs, [
      ...['-machine', 'q35,accel=tcg', '-cpu', HOST_CPU, '-smp', '1', '-m', '768'],
      ...['-nodefaults', '-display', 'none', '-no-user-config', '-device', 'intel-iommu'],
      // What the machine writes goes with it.
      ...['-drive', `if=none,id=root,file=${disk},format=raw,cache=unsafe,snapshot=on`],
      ...['-device', 'virtio-blk-pci,drive=root,bootindex=1'],
      ...['-drive', `if=none,id=parcel,file=${parcel},format=raw,readonly=on`],
      ...['-device', 'virtio-blk-pci,drive=parcel', ...DEVICES, '-serial', 'stdio'],
    ]);
  } finally {
    removeRunDirectory(work);
  }
}

/** @param {number} deadlineMs @param {readonly string[]} args */
async function untilPowerOff(deadlineMs, args) {
  const child = spawnTied('qemu-system-x86_64', args);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      said += String(text);
      if (process.env['QMPLUG_CONSOLE']) process.stderr.write(String(text));
    });
  }
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void endChild(child);
  }, deadlineMs);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  if (code === 0) return said;
  const what = isLate ? `did not power off in ${deadlineMs} ms` : `ended with status ${code}`;
  throw new Error(`the machine ${what}: ${said.slice(-2000)}`);
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
