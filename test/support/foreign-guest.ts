import type { ArchitectureName } from '../../scripts/lab/architectures.mjs';
import { requireMachine } from '../../scripts/lab/capability.mjs';
import {
  bootForeignGuest as boot,
  type ForeignGuestOptions,
} from '../../scripts/lab/foreign-guest.mjs';
import type { Guest } from './qemu.js';

/**
 * A Linux guest of another architecture, ready in 4 to 15 s.
 *
 * @throws where its QEMU or its kernel is missing, or the guest does not come up.
 */
export async function bootForeignGuest(
  name: ArchitectureName,
  options: ForeignGuestOptions = {},
): Promise<Guest> {
  requireMachine(name);
  return boot(name, options);
}
