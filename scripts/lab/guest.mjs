// A small Linux guest that reports its PCI devices: ready about 3 s after QEMU starts.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from './agent.mjs';
import { SocketConsole } from './console.mjs';
import { makeInitramfs } from './initramfs.mjs';
import { findKernel } from './kernel.mjs';
import { launchQemu } from './qemu.mjs';

/**
 * @typedef {import('./qemu.mjs').QemuOptions & {
 *   kernelArgs?: readonly string[],
 *   modules?: readonly string[],
 *   readyDeadlineMs?: number,
 * }} GuestOptions
 * `modules` are loaded by the guest at boot, for devices that shall have a driver there. The guest is
 * awaited for `readyDeadlineMs` (default 120,000), unless it starts `paused`.
 */

/** @typedef {import('./console.mjs').Console} Console */

/**
 * A guest and the QEMU around it. `await using`, or call {@link kill}.
 *
 * @template {import('./qemu.mjs').Qemu | import('./inner-qemu.mjs').InnerQemu} [Machine=import('./qemu.mjs').Qemu]
 */
export class Guest {
  /** The machine: its monitors, pid and standard error. In a VFIO host, an inner one. */
  qemu;
  #agent;
  #console;
  #lastId = 0;

  /**
   * @param {Machine} qemu
   * @param {Agent} agent
   * @param {Console} console
   */
  constructor(qemu, agent, console) {
    this.qemu = qemu;
    this.#agent = agent;
    this.#console = console;
  }

  get qmpPath() {
    return this.qemu.qmpPath;
  }

  get otherQmpPath() {
    return this.qemu.otherQmpPath;
  }

  get qmp() {
    return this.qemu.qmp;
  }

  get pid() {
    return this.qemu.pid;
  }

  /** What the kernel and the firmware have printed. */
  console() {
    return this.#console.text;
  }

  /** @param {RegExp} pattern @param {number} [deadlineMs] */
  async waitForConsole(pattern, deadlineMs = 30_000) {
    return this.qemu.orItsEnd(this.#console.waitFor(pattern, deadlineMs));
  }

  /** @param {number} [deadlineMs] */
  async waitUntilReady(deadlineMs = 120_000) {
    const seen = () => `a ready guest; its console ends: ${this.console().slice(-2000)}`;
    await this.qemu.orItsEnd(this.#agent.waitUntilReady(deadlineMs, seen));
  }

  /** Call before a reset, so that {@link waitUntilReady} waits for the start after it. */
  forgetBoot() {
    this.#agent.forgetBoot();
  }

  /** The guest's PCI functions as it listed them last, in the order of their addresses. */
  pciDevices() {
    return this.#agent.pciDevices;
  }

  /**
   * Waits until the guest's own list of PCI functions satisfies `matches`, and gives that list.
   *
   * @param {(devices: readonly import('./agent.mjs').PciFunction[]) => boolean} matches
   * @param {number} [deadlineMs]
   */
  async waitForPci(matches, deadlineMs = 30_000) {
    return this.qemu.orItsEnd(this.#agent.waitForPci(matches, deadlineMs));
  }

  /**
   * Runs a shell command in the guest. Commands run one after the other.
   *
   * @param {string} command
   * @param {{ deadlineMs?: number }} [options]
   * @returns {Promise<import('./agent.mjs').Done>} status and output, standard error included
   */
  async run(command, { deadlineMs = 30_000 } = {}) {
    const id = String(++this.#lastId);
    this.#agent.send(`run ${id} ${Buffer.from(command).toString('base64')}`);
    const done = this.#agent.waitForDone(id, deadlineMs, () => `the end of ${command}`);
    return this.qemu.orItsEnd(done);
  }

  async kill() {
    await this.qemu.kill();
  }

  async [Symbol.asyncDispose]() {
    await this.kill();
  }
}

/**
 * Boots a guest.
 *
 * @param {GuestOptions} [options]
 * @returns {Promise<Guest>} once the guest has listed its devices; with `paused`, before it runs
 * @throws when there is no kernel yet, when QEMU refuses, or when the guest is not ready in time.
 */
export async function bootGuest(options = {}) {
  const { image, initramfs } = await prepareGuest(options);
  const { qemu, sockets } = await launchQemu(
    { memoryMiB: GUEST_MEMORY_MIB, ...options },
    ['console', 'agent'],
    async (directory) => {
      await writeFile(join(directory, 'initrd'), initramfs);
      return guestArgs(image, join(directory, 'initrd'), options);
    },
  );
  const [console, agent] = sockets;
  if (!console || !agent) throw new Error('QEMU did not dial the serial ports');
  const guest = new Guest(qemu, new Agent(agent), new SocketConsole(console));
  if (options.paused) return guest;
  try {
    await guest.waitUntilReady(options.readyDeadlineMs);
    return guest;
  } catch (error) {
    await guest.kill();
    throw error;
  }
}

/** Of every lab machine. Guarding against speculation costs time and an emulated processor has none. */
export const KERNEL_ARGS = ['console=ttyS0', 'quiet', 'panic=-1', 'mitigations=off'];

/** What a guest needs at least, with its file system in memory. */
export const GUEST_MEMORY_MIB = 256;

/**
 * The kernel's file and the first file system of a guest.
 *
 * @param {GuestOptions} options
 */
export async function prepareGuest(options) {
  const kernel = findKernel();
  if (!kernel) throw new Error('no kernel for the guest; run scripts/setup.sh');
  const init = await readInit('guest-init.sh');
  const initramfs = await makeInitramfs({ kernel, init, modules: options.modules ?? [] });
  const image = options.firmware === 'ovmf' ? kernel.bzImage : kernel.vmlinux;
  return { image, initramfs };
}

/**
 * @param {string} image
 * @param {string} initrd
 * @param {GuestOptions} options
 */
export function guestArgs(image, initrd, options) {
  const kernelArgs = [...KERNEL_ARGS, ...(options.kernelArgs ?? [])];
  return ['-kernel', image, '-initrd', initrd, '-append', kernelArgs.join(' ')];
}

/** The text of an /init: the common part and the part that is the machine's own.
 * @param {string} name */
export async function readInit(name) {
  const read = (/** @type {string} */ file) => readFile(join(import.meta.dirname, file), 'utf8');
  return `#!/bin/busybox sh\n${await read('machine-init.sh')}\n${await read(name)}`;
}
