// The virtual machines of the soak, and what completes a removal in each.
import { bootGuest } from '../lab/guest.mjs';
import { startQemu } from '../lab/qemu.mjs';

/** A few ports, so that each is used again and again. */
const PORT_COUNT = 3;
/** Translated code is memory of QEMU that grows until it is thrown away: little of it, that it does so early. */
const TRANSLATION_MIB = 32;
const GUEST_DEADLINE_MS = 60_000;

/**
 * @typedef {object} SoakMachine
 * @property {import('../lab/qemu.mjs').Qemu} qemu
 * @property {(count: number) => Promise<unknown>} guestHas waits until the guest, where there is one, lists so
 *   many devices more than at the beginning
 * @property {(() => void) | undefined} completeRemoval called once QEMU has the request; undefined where the guest
 *   does it by itself
 */

/**
 * @typedef {object} SoakMode
 * @property {number} cycles how many make a soak of it
 * @property {number} firstCycles before it begins: what is made once comes with the first device of a kind
 * @property {() => Promise<SoakMachine>} start
 */

/**
 * Whoever completes a removal: a reset of a VM in which nobody runs, or in which the firmware starts anew each
 * time, or a Linux guest.
 */
export const SOAK_MODES = /** @type {const} */ ({
  reset: { cycles: 10_000, firstCycles: 3, start: () => startForReset({ paused: true }) },
  firmware: { cycles: 1_000, firstCycles: 3, start: () => startForReset({ paused: false }) },
  'acpi-guest': { cycles: 300, firstCycles: 3, start: () => startWithGuest('acpi') },
  'native-guest': { cycles: 5, firstCycles: 1, start: () => startWithGuest('native') },
});

/** @param {{ paused: boolean }} options @returns {Promise<SoakMachine>} */
async function startForReset({ paused }) {
  const qemu = await startQemu({ paused, args: ports(), translationMiB: TRANSLATION_MIB });
  const completeRemoval = () => void qemu.qmp.execute('system_reset').catch(() => undefined);
  return { qemu, guestHas: async () => undefined, completeRemoval };
}

/** @param {'acpi' | 'native'} hotplug @returns {Promise<SoakMachine>} */
async function startWithGuest(hotplug) {
  const guest = await bootGuest({ hotplug, args: ports(), translationMiB: TRANSLATION_MIB });
  const { length } = guest.pciDevices();
  /** @param {number} count */
  const guestHas = (count) =>
    guest.waitForPci((devices) => devices.length === length + count, GUEST_DEADLINE_MS);
  return { qemu: guest.qemu, guestHas, completeRemoval: undefined };
}

function ports() {
  return Array.from({ length: PORT_COUNT }, (_, index) => [
    '-device',
    `pcie-root-port,id=rp${index},bus=pcie.0,chassis=${index + 1},slot=${index + 1},addr=${index + 2}.0`,
  ]).flat();
}
