import type { Clock } from '../clock.js';
import { parseJson } from '../json.js';
import { JsonFramer } from '../qmp/framer.js';
import type { QmpTransport, TransportHandlers } from '../qmp/transport.js';
import { checkMessage, type TranscriptEntry } from './format.js';

export interface RecorderOptions {
  readonly clock: Clock;
  /** Called for each message, in the order in which they passed. */
  readonly onEntry: (entry: TranscriptEntry) => void;
  /**
   * Called once when something passed that a transcript cannot hold: bytes that are no JSON, a message
   * past the framer's limits, a failure of `onEntry`. The recording ends there and is incomplete; the
   * bytes go on passing.
   */
  readonly onFault?: ((error: unknown) => void) | undefined;
  /** When the recording began, by the clock. Default: now. */
  readonly beganAt?: number | undefined;
}

/**
 * The given transport, with a record of the messages that pass. Bytes pass unchanged and in their own cuts;
 * a command is recorded before it is sent, a reply before it is delivered.
 */
export function recordTransport(inner: QmpTransport, options: RecorderOptions): QmpTransport {
  const { clock, onEntry, onFault, beganAt = clock.now() } = options;
  let faulted = false;
  /** Whether a file goes along with the message that begins in what is being sent. */
  let carries = false;

  const observer = (dir: 'in' | 'out') => {
    const framer = new JsonFramer((text) => {
      const t = Math.round(clock.now() - beganAt);
      const msg = checkMessage(dir, parseJson(text));
      const isCarrier = dir === 'out' && carries;
      if (isCarrier) carries = false;
      onEntry(isCarrier ? { t, dir, fd: true, msg } : { t, dir, msg });
    });
    return (data: Uint8Array) => {
      if (faulted) return;
      try {
        framer.push(data);
      } catch (error) {
        faulted = true;
        onFault?.(error);
      }
    };
  };
  const observeOut = observer('out');
  const observeIn = observer('in');
  const { files } = inner;

  return {
    address: inner.address,
    send(data) {
      observeOut(data);
      return inner.send(data);
    },
    start(handlers: TransportHandlers) {
      inner.start({
        onData(data) {
          observeIn(data);
          handlers.onData(data);
        },
        onClose(reason) {
          handlers.onClose(reason);
        },
      });
    },
    close() {
      inner.close();
    },
    pause() {
      inner.pause?.();
    },
    resume() {
      inner.resume?.();
    },
    ...(files && {
      files: {
        obstacle: () => files.obstacle(),
        send: (data, file) => {
          carries = true;
          observeOut(data);
          return files.send(data, file);
        },
      },
    }),
    ...(inner.endSending === undefined ? {} : { endSending: () => inner.endSending?.() }),
  };
}
