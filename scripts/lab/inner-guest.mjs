// A Linux guest in a QEMU in the nested VFIO host: what a device that is really passed through meets.
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from './agent.mjs';
import { FileConsole } from './console.mjs';
import { Guest, GUEST_MEMORY_MIB, guestArgs, prepareGuest } from './guest.mjs';

/** The share as the host sees it. */
const SHARE = '/run/lab';
/** Emulated within an emulated machine, with that machine's own host as busy as test machines are. */
const READY_MS = 600_000;

/**
 * @typedef {object} InnerPlace
 * @property {string} share the directory shared with the host, on this side
 * @property {import('./inner-qemu.mjs').InnerLine} line taken for the guest's agent
 * @property {(options: import('./qemu.mjs').QemuOptions) => Promise<import('./inner-qemu.mjs').InnerQemu>} startQemu
 */

/**
 * @param {InnerPlace} place
 * @param {import('./guest.mjs').GuestOptions} options
 * @returns {Promise<Guest<import('./inner-qemu.mjs').InnerQemu>>}
 */
export async function bootInnerGuest({ share, line, startQemu }, options) {
  const { image, initramfs } = await prepareGuest(options);
  await copyFile(image, join(share, 'guest-kernel'));
  await writeFile(join(share, 'guest-initrd'), initramfs);
  const console = new FileConsole(join(share, 'guest-console'));
  const agent = new Agent(line.socket);
  const release = () => {
    agent.detach();
    line.taken = false;
  };
  const args = [
    ...guestArgs(`${SHARE}/guest-kernel`, `${SHARE}/guest-initrd`, options),
    ...['-serial', `file:${SHARE}/guest-console`],
    ...['-chardev', `serial,id=agent,path=${line.tty}`, '-serial', 'chardev:agent'],
    ...(options.args ?? []),
  ];
  try {
    const qemu = await startQemu({ memoryMiB: GUEST_MEMORY_MIB, ...options, args });
    const freed = qemu.waitForExit(Infinity).finally(release);
    freed.catch(() => undefined); // the host went first
    const guest = new Guest(qemu, agent, console);
    if (!options.paused) await readyOrKilled(guest, options.readyDeadlineMs ?? READY_MS);
    return guest;
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * @param {Guest<import('./inner-qemu.mjs').InnerQemu>} guest
 * @param {number} deadlineMs
 */
async function readyOrKilled(guest, deadlineMs) {
  try {
    await guest.waitUntilReady(deadlineMs);
  } catch (error) {
    await guest.kill();
    throw error;
  }
}
