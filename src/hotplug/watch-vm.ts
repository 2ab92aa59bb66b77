import type { Clock } from '../clock.js';
import type { QmpEvent } from '../qmp/session.js';
import type { VmStatus } from './status.js';
import type { Vm } from './vm.js';

/** Something that happened in a VM. */
export type VmNews =
  /** What there is: at first, and after a session was lost and found again. */
  | { readonly kind: 'state'; readonly status: VmStatus }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  /** A device is in a port that was not there at the last look. */
  | {
      readonly kind: 'attached';
      readonly id: string;
      readonly port: string;
      readonly host: string | undefined;
    }
  | { readonly kind: 'detached'; readonly id: string; readonly port: string }
  /** A removal has begun, or has come further. */
  | { readonly kind: 'removal'; readonly id: string; readonly state: string }
  /** Events were lost because nobody took them in time. */
  | { readonly kind: 'overflow'; readonly lostCount: number }
  /** The session has ended; events are lost until the next `state`. The last item, unless watched on. */
  | { readonly kind: 'ended'; readonly reason: Error | undefined };

export interface WatchOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Milliseconds between two looks where no event comes: QEMU has no event for a device that was added. */
  readonly intervalMs: number;
  /** Whether to wait for another session when one has ended. */
  readonly reconnect?: boolean | undefined;
}

/** Events held for a slow reader; beyond them they are counted. */
const CAPACITY = 1_024;

/** Tells what happens in a VM, until the signal or the end of the session. */
export async function* watchVm(vm: Vm, options: WatchOptions): AsyncGenerator<VmNews, void> {
  const { clock, signal, intervalMs, reconnect = false } = options;
  const inbox = new Inbox(clock, signal);
  const unsubscribe = vm.onEvent((event) => {
    inbox.add(event);
  });
  try {
    for (let first = true; !signal.aborted; first = false) {
      const session = watchSession(vm, inbox);
      let before: VmStatus | undefined;
      while (session.end === undefined && !signal.aborted) {
        const look = await lookAt(vm);
        yield* inbox.take();
        if (look.kind === 'lost') {
          session.end ??= look;
        } else {
          if (before === undefined) yield { kind: 'state', status: look.status };
          else yield* changesBetween(before, look.status);
          before = look.status;
          await inbox.wait(intervalMs);
        }
      }
      if (session.end === undefined) return;
      yield* inbox.take();
      // Whoever waits for the monitor to come back need not be told every try.
      if (first || before !== undefined) yield { kind: 'ended', reason: session.end.reason };
      if (!reconnect) return;
      await inbox.wait(intervalMs);
    }
  } finally {
    unsubscribe();
  }
}

/** Learns of the end of the present session, and wakes whoever waits. */
function watchSession(vm: Vm, inbox: Inbox) {
  const session: { end: { readonly reason: Error | undefined } | undefined } = { end: undefined };
  void vm
    .sessionEnd()
    .catch((error: unknown) => (error instanceof Error ? error : undefined))
    .then((reason) => {
      session.end ??= { reason };
      inbox.wake();
    });
  return session;
}

type Look =
  | { readonly kind: 'seen'; readonly status: VmStatus }
  | { readonly kind: 'lost'; readonly reason: Error };

async function lookAt(vm: Vm): Promise<Look> {
  try {
    return { kind: 'seen', status: await vm.inspect() };
  } catch (error) {
    if (error instanceof Error) return { kind: 'lost', reason: error };
    throw error;
  }
}

/** What is different in the ports and the removals. */
export function changesBetween(before: VmStatus, after: VmStatus): readonly VmNews[] {
  const were = occupantsOf(before);
  const are = occupantsOf(after);
  const hosts = new Map(
    after.attachments.flatMap(({ functions }) => functions.map(({ id, host }) => [id, host])),
  );
  const removals = new Map(before.removals.map(({ id, state }) => [id, state]));
  return [
    ...[...were]
      .filter(([id, port]) => are.get(id) !== port)
      .map(([id, port]) => ({ kind: 'detached' as const, id, port })),
    ...[...are]
      .filter(([id, port]) => were.get(id) !== port)
      .map(([id, port]) => ({ kind: 'attached' as const, id, port, host: hosts.get(id) })),
    ...after.removals
      .filter(({ id, state }) => removals.get(id) !== state)
      .map(({ id, state }) => ({ kind: 'removal' as const, id, state })),
  ];
}

const occupantsOf = ({ ports }: VmStatus): ReadonlyMap<string, string> =>
  new Map(ports.flatMap(({ id: port, occupants }) => occupants.map((id) => [id, port] as const)));

/** Events until somebody takes them, and who waits for the next thing to happen. */
class Inbox {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #events: QmpEvent[] = [];
  #lostCount = 0;
  /** Ends the waiting. */
  wake: () => void = () => undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  add(event: QmpEvent): void {
    if (this.#events.length < CAPACITY) this.#events.push(event);
    else this.#lostCount += 1;
    this.wake();
  }

  take(): readonly VmNews[] {
    const events = this.#events.splice(0).map((event) => ({ kind: 'event' as const, event }));
    const lostCount = this.#lostCount;
    this.#lostCount = 0;
    return lostCount === 0 ? events : [...events, { kind: 'overflow', lostCount }];
  }

  /** Until an event has come, somebody wakes it, the signal, or for so long. */
  async wait(longestMs: number): Promise<void> {
    if (this.#events.length > 0 || this.#signal.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(longestMs, resolve);
      const done = () => {
        cancel();
        this.#signal.removeEventListener('abort', done);
        resolve();
      };
      this.wake = done;
      this.#signal.addEventListener('abort', done, { once: true });
    });
  }
}
