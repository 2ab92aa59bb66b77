// What a machine needs before it can run the tests and the lab, and which of it is missing here.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ARCHITECTURES } from './architectures.mjs';
import { findForeignKernel } from './foreign-kernel.mjs';
import { findGrubDisk, INITRAMFS_PROGRAMS } from './grub-disks.mjs';
import { findKernel } from './kernel.mjs';
import { OVMF_CODE, OVMF_VARS } from './qemu.mjs';
import { findQemuVersions } from './make-qemu-versions.mjs';
import { findQemu, QEMU_VERSIONS, qemuCache } from './qemu-versions.mjs';

/**
 * What can be run: programs of the host that a test asks, without any QEMU; QEMU alone, with OVMF too, a Linux guest
 * in it, or the nested VFIO host; every QEMU version, and the same in containers; a Debian with its own GRUB.
 */
export const CAPABILITIES = /** @type {const} */ ([
  'host-tools',
  'qemu',
  'ovmf',
  'guest',
  'vfio-host',
  'versions',
  'container',
  'grub-host',
]);

/** @typedef {(typeof CAPABILITIES)[number]} Capability */

const MEBIBYTE = 2 ** 20;
/** The VFIO host's memory and what QEMU needs beside it. */
const VFIO_HOST_BYTES = 2600 * MEBIBYTE;
const SET_UP = 'run scripts/setup.sh';

/**
 * Why this machine cannot run something; empty when it can.
 *
 * @param {Capability} capability
 * @returns {readonly string[]} one reason per missing thing, each with what to do
 */
export function missingFor(capability) {
  if (capability === 'host-tools') {
    return [
      missingProgram('systemd-analyze', 'systemd'),
      missingProgram('setfacl', 'acl'),
      missingProgram('getfacl', 'acl'),
    ].filter((reason) => reason !== undefined);
  }
  const missing = [
    missingProgram('qemu-system-x86_64', 'qemu-system-x86'),
    missingProgram('setpriv', 'util-linux'),
  ];
  if (capability === 'ovmf') missing.push(missingFirmware());
  if (capability !== 'qemu' && capability !== 'ovmf') missing.push(...missingForLinux());
  if (capability === 'vfio-host') {
    missing.push(missingProgram('modprobe', 'kmod'), missingMemory());
  }
  if (capability === 'versions' || capability === 'container') missing.push(...missingVersions());
  if (capability === 'container') {
    missing.push(missingProgram('docker', 'docker.io'), missingImages());
  }
  if (capability === 'grub-host') {
    missing.push(
      ...INITRAMFS_PROGRAMS.filter((program) => findGrubDisk(program) === undefined).map(
        (program) => `no disk of a Debian with GRUB and ${program}; ${SET_UP}`,
      ),
    );
  }
  return missing.filter((reason) => reason !== undefined);
}

/**
 * Why this machine cannot run guests of another architecture; empty when it can.
 *
 * @param {import('./architectures.mjs').ArchitectureName} name
 * @returns {readonly string[]}
 */
export function missingForMachine(name) {
  const { binary, qemuPackage } = ARCHITECTURES[name];
  return [
    missingProgram(binary, qemuPackage),
    findForeignKernel(name) ? undefined : `no kernel for ${name} guests; ${SET_UP}`,
  ].filter((reason) => reason !== undefined);
}

/**
 * Throws, with every reason, where this machine cannot run guests of another architecture.
 *
 * @param {import('./architectures.mjs').ArchitectureName} name
 */
export function requireMachine(name) {
  const missing = missingForMachine(name);
  if (missing.length === 0) return;
  throw new Error(`this machine cannot run ${name} guests: ${missing.join('; ')}`);
}

/**
 * Throws, with every reason, where this machine cannot run something. A test that needs it fails by
 * name instead of being skipped in silence.
 *
 * @param {Capability} capability
 */
export function requireCapability(capability) {
  const missing = missingFor(capability);
  if (missing.length === 0) return;
  throw new Error(`this machine cannot run ${capability}: ${missing.join('; ')}`);
}

function missingForLinux() {
  const busybox = '/bin/busybox';
  // A dynamically linked program names the loader that it needs.
  const unusable = !existsSync(busybox) || readFileSync(busybox).includes('/ld-linux');
  return [
    unusable ? `no statically linked ${busybox} (package busybox-static); ${SET_UP}` : undefined,
    findKernel() ? undefined : `no kernel for the guest; ${SET_UP}`,
  ];
}

function missingVersions() {
  return QEMU_VERSIONS.filter((version) => findQemu(version) === undefined).map(
    (version) => `no QEMU ${version} in ${qemuCache()}; ${SET_UP}`,
  );
}

/** The daemon need not run yet: its store is known to have them. */
function missingImages() {
  return findQemuVersions() ? undefined : `no images of the QEMU versions; ${SET_UP}`;
}

function missingFirmware() {
  const files = [OVMF_CODE, OVMF_VARS].filter((file) => !existsSync(file));
  return files.length === 0 ? undefined : `no ${files.join(', ')} (package ovmf); ${SET_UP}`;
}

function missingMemory() {
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  const bytes = Number(available) * 1024;
  if (bytes >= VFIO_HOST_BYTES) return undefined;
  const mebibytes = (/** @type {number} */ count) => `${Math.round(count / MEBIBYTE)} MiB`;
  return `${mebibytes(bytes)} of memory available, ${mebibytes(VFIO_HOST_BYTES)} needed`;
}

/** @param {string} program @param {string} debianPackage */
function missingProgram(program, debianPackage) {
  const path = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
  const found = path.split(delimiter).some((directory) => isExecutable(join(directory, program)));
  return found ? undefined : `no ${program} (package ${debianPackage}); ${SET_UP}`;
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
