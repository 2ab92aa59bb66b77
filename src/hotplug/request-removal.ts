import { deviceDel } from '../qmp/commands.js';
import { CommandError } from '../qmp/failures.js';
import type { VmLink } from './vm-link.js';

/** What QEMU made of a `device_del`. */
export type RemovalRequest =
  /** Asked for now, or before: either way the guest has the request. */
  | { readonly kind: 'requested' }
  | { readonly kind: 'gone' }
  /** The guest is in the middle of powering the slot on or off; ask again later. */
  | { readonly kind: 'busy'; readonly why: string };

/**
 * Asks QEMU to have the guest release a device. An answer means "requested", never "removed".
 *
 * @throws {CommandError} for a lasting refusal.
 */
export async function requestRemoval(vm: VmLink, id: string): Promise<RemovalRequest> {
  try {
    await deviceDel(await vm.session(), id);
    return { kind: 'requested' };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    switch (error.failure.kind) {
      case 'device-not-found':
        return { kind: 'gone' };
      case 'already-unplugging':
        return { kind: 'requested' };
      case 'guest-busy':
      case 'migrating':
        return { kind: 'busy', why: error.desc };
      default:
        throw error;
    }
  }
}
