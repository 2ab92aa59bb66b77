// Small Linux guests of other architectures, like the one in guest.mjs: ready 3 to 15 s after QEMU starts.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from './agent.mjs';
import { ARCHITECTURES } from './architectures.mjs';
import { SocketConsole } from './console.mjs';
import { findForeignKernel } from './foreign-kernel.mjs';
import { Guest, GUEST_MEMORY_MIB, readInit } from './guest.mjs';
import { makeInitramfs } from './initramfs.mjs';
import { launchQemu } from './qemu.mjs';

/**
 * @typedef {Omit<import('./qemu.mjs').QemuOptions, 'binary' | 'machine' | 'hotplug' | 'firmware'> & {
 *   modules?: readonly string[],
 *   kernelArgs?: readonly string[],
 *   readyDeadlineMs?: number,
 * }} ForeignGuestOptions
 */

/**
 * Boots a guest of another architecture.
 *
 * @param {import('./architectures.mjs').ArchitectureName} name
 * @param {ForeignGuestOptions} [options]
 * @returns {Promise<Guest>} once the guest has listed its devices
 * @throws when there is no kernel yet, when QEMU refuses, or when the guest is not ready in time.
 */
export async function bootForeignGuest(name, options = {}) {
  const architecture = ARCHITECTURES[name];
  const kernel = findForeignKernel(name);
  if (!kernel) throw new Error(`no ${name} kernel for the guest; run scripts/setup.sh machines`);
  const initramfs = await makeInitramfs({
    kernel,
    busybox: kernel.busybox,
    init: await readInit('guest-init.sh'),
    modules: [...architecture.modules, ...(options.modules ?? [])],
  });
  const { binary, machine, console, agent, lines } = architecture;
  const append = [
    `console=${console}`,
    // What the kernel does not know it gives to /init.
    `lab_agent=${agent}`,
    ...['quiet', 'panic=-1', 'mitigations=off'],
    ...(options.kernelArgs ?? []),
  ].join(' ');
  const { qemu, sockets } = await launchQemu(
    { memoryMiB: 2 * GUEST_MEMORY_MIB, ...options, binary, machine },
    ['console', 'agent'],
    async (directory) => {
      const initrd = join(directory, 'initrd');
      await writeFile(initrd, initramfs);
      return ['-kernel', kernel.image, '-initrd', initrd, '-append', append];
    },
    lines,
  );
  const [consoleLine, agentLine] = sockets;
  if (!consoleLine || !agentLine) throw new Error('QEMU did not dial the serial ports');
  const guest = new Guest(qemu, new Agent(agentLine), new SocketConsole(consoleLine));
  try {
    await guest.waitUntilReady(options.readyDeadlineMs);
    return guest;
  } catch (error) {
    await guest.kill();
    throw error;
  }
}
