import type { Clock } from '../clock.js';
import { deviceDel } from '../qmp/commands.js';
import { CommandError } from '../qmp/failures.js';
import type { VmLink } from './vm-link.js';

/** What QEMU made of a `device_del`. */
export type RemovalRequest =
  /** The guest has the request. */
  | { readonly kind: 'requested' }
  /** QEMU says that an earlier request is under way. */
  | { readonly kind: 'joined' }
  | { readonly kind: 'gone' }
  /** The guest is in the middle of powering the slot on or off, or the VM migrates; ask again later. */
  | { readonly kind: 'busy'; readonly why: string };

/**
 * How long a request counts as heard. On a native port QEMU refuses another one for five seconds of the VM's
 * time (hw/pci/pcie.c, pcie_cap_slot_unplug_request_cb, 7.2) and a guest that heard it is done
 * after 6.3; with ACPI a guest that heard it is done in a fraction of one.
 */
const HEARD_MS = 7_000;
/** How soon after a reset the request is worth another try: QEMU may refuse it until its five seconds are over. */
const LOST_MS = 1_000;

interface Asked {
  readonly atMs: number;
  /** When a reset came since: on a native port the request is lost, with ACPI it is completed. */
  readonly lostAtMs: number | undefined;
  /** QEMU took no new request although a guest that had heard the last one would be done. */
  readonly refused: boolean;
}

/**
 * Asks the guest to release devices, and once more where it cannot have the request any more: a reset loses
 * it on a native port, and a booting Linux throws away what came before its hot-plug drivers, with no
 * event for either. A request too many would press the attention button of a native port once more, which
 * takes the first one back. QEMU does not let that happen: from 6.2 on it refuses for five seconds and as
 * long as the guest blinks; 5.2 refuses for good, whatever has become of the first (measured, resets
 * included). With ACPI it is the same request.
 */
export class RemovalRequests {
  readonly #vm: VmLink;
  readonly #clock: Clock;
  /** When this process asked last, by id. */
  readonly #asked = new Map<string, Asked>();
  /** Ids that the guest declined to release, since it was asked. */
  readonly #declined = new Set<string>();

  constructor(vm: VmLink, clock: Clock) {
    this.#vm = vm;
    this.#clock = clock;
    vm.onEvent(({ event, data: { device } }) => {
      if (event === 'RESET') this.#forgetAsking();
      // It may come before the reply to the request, when nobody waits yet.
      if (event === 'DEVICE_UNPLUG_GUEST_ERROR' && typeof device === 'string') {
        this.#declined.add(device);
      }
    });
  }

  /**
   * Asks now. An answer means "requested", never "removed".
   *
   * @param ids everything that goes with it.
   * @throws {CommandError} for a lasting refusal.
   */
  async ask(id: string, ids: readonly string[] = [id]): Promise<RemovalRequest> {
    for (const each of ids) this.#declined.delete(each);
    const before = this.#asked.get(id);
    const request = await this.#send(id);
    if (request.kind === 'gone') this.#asked.delete(id);
    else this.#asked.set(id, this.#note(request, before));
    return request;
  }

  /** Milliseconds until the guest is to be asked: 0 where this process never did, or where the request may be lost. */
  dueMs(id: string): number {
    const asked = this.#asked.get(id);
    if (asked === undefined) return 0;
    const pauseMs = asked.lostAtMs === undefined ? HEARD_MS : LOST_MS;
    return Math.max(0, asked.atMs + pauseMs - this.#clock.now());
  }

  /** Whether QEMU did not pass the last request on, although the one before has had its time. */
  wasRefused(id: string): boolean {
    return this.#asked.get(id)?.refused === true;
  }

  /** What is said of ids that have left: another device may get one of them, and it was never asked for. */
  forget(ids: readonly string[]): void {
    for (const id of ids) {
      this.#asked.delete(id);
      this.#declined.delete(id);
    }
  }

  /** One of the ids that the guest declined to release since it was asked; told once. */
  takeDeclined(ids: readonly string[]): string | undefined {
    const declined = ids.find((id) => this.#declined.has(id));
    for (const id of ids) this.#declined.delete(id);
    return declined;
  }

  #note({ kind }: RemovalRequest, before: Asked | undefined): Asked {
    const atMs = this.#clock.now();
    if (kind !== 'joined' || before === undefined) {
      return { atMs, lostAtMs: undefined, refused: false };
    }
    const { lostAtMs } = before;
    if (lostAtMs !== undefined && atMs < lostAtMs + HEARD_MS) {
      return { atMs, lostAtMs, refused: false };
    }
    const refused = before.refused || lostAtMs !== undefined || atMs >= before.atMs + HEARD_MS;
    return { atMs, lostAtMs: undefined, refused };
  }

  #forgetAsking(): void {
    const lostAtMs = this.#clock.now();
    for (const id of this.#asked.keys()) {
      this.#asked.set(id, { atMs: -Infinity, lostAtMs, refused: false });
    }
  }

  async #send(id: string): Promise<RemovalRequest> {
    try {
      await deviceDel(await this.#vm.session(), id);
      return { kind: 'requested' };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      switch (error.failure.kind) {
        case 'device-not-found':
          return { kind: 'gone' };
        case 'already-unplugging':
          return { kind: 'joined' };
        case 'guest-busy':
        case 'migrating':
          return { kind: 'busy', why: error.desc };
        default:
          throw error;
      }
    }
  }
}
