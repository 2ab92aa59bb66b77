// The virtual machines of the soak, and what completes a removal in each.
import { bootGuest } from '../lab/guest.mjs';
import { startQemu } from '../lab/qemu.mjs';

/** A few ports, so that each is used again and again. */
const PORT_COUNT = 3;
/** Translated code is memory of QEMU that grows until it is thrown away: little of it, that it does so early. */
const TRANSLATION_MIB = 32;

/**
 * @typedef {object} SoakMachine
 * @property {import('../lab/qemu.mjs').Qemu} qemu
 * @property {'placed' | undefined} wait what an attach waits for
 * @property {(() => void) | undefined} completeRemoval called once QEMU has the request; undefined where the guest
 *   does it by itself
 */

/**
 * @typedef {object} SoakMode
 * @property {number} cycles how many make a soak of it
 * @property {() => Promise<SoakMachine>} start
 */

/**
 * Whoever completes a removal: a reset of a VM in which nobody runs, or in which the firmware starts anew each
 * time, or a Linux guest.
 */
export const SOAK_MODES = /** @type {const} */ ({
  reset: { cycles: 10_000, start: () => startForReset({ paused: true }) },
  firmware: { cycles: 1_000, start: () => startForReset({ paused: false }) },
  'acpi-guest': { cycles: 300, start: () => startWithGuest('acpi') },
  'native-guest': { cycles: 5, start: () => startWithGuest('native') },
});

/** @param {{ paused: boolean }} options @returns {Promise<SoakMachine>} */
async function startForReset({ paused }) {
  const qemu = await startQemu({ paused, args: ports(), translationMiB: TRANSLATION_MIB });
  const completeRemoval = () => void qemu.qmp.execute('system_reset').catch(() => undefined);
  return { qemu, wait: undefined, completeRemoval };
}

/** @param {'acpi' | 'native'} hotplug @returns {Promise<SoakMachine>} */
async function startWithGuest(hotplug) {
  const guest = await bootGuest({ hotplug, args: ports(), translationMiB: TRANSLATION_MIB });
  return { qemu: guest.qemu, wait: 'placed', completeRemoval: undefined };
}

function ports() {
  return Array.from({ length: PORT_COUNT }, (_, index) => [
    '-device',
    `pcie-root-port,id=rp${index},bus=pcie.0,chassis=${index + 1},slot=${index + 1},addr=${index + 2}.0`,
  ]).flat();
}
