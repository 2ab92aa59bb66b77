import type { ConnectError } from '../../src/errors.js';
import type { QmpClient } from '../../src/qmp/client.js';
import { openSession } from '../../src/qmp/connect.js';
import type { SessionOptions } from '../../src/qmp/session-options.js';
import type { FileSender, QmpTransport, TransportHandlers } from '../../src/qmp/transport.js';
import { FakeClock, settled } from './fake-clock.js';

export interface Request {
  readonly execute: string;
  readonly arguments?: Record<string, unknown>;
  readonly id: number;
}

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n';
export const GREETING_WITHOUT_OOB = GREETING.replace('"oob"', '');

/** The other end of an in-memory transport: the test plays QEMU. */
export class MemoryPeer {
  readonly requests: Request[] = [];
  readonly transport: QmpTransport;
  closed = false;
  #handlers: TransportHandlers | undefined;
  #held: string[] = [];

  constructor(address = 'unix:/run/memory.sock') {
    this.transport = {
      address,
      send: (data) => {
        if (this.closed) return Promise.reject(new Error('closed'));
        for (const line of Buffer.from(data).toString().split('\n')) {
          if (line !== '') this.requests.push(JSON.parse(line) as Request);
        }
        return Promise.resolve();
      },
      start: (handlers) => {
        this.#handlers = handlers;
        for (const text of this.#held.splice(0)) this.say(text);
      },
      close: () => {
        this.hangUp();
      },
    };
  }

  /** Sends bytes as they are, in one piece. */
  say(text: string | Uint8Array): void {
    if (!this.#handlers) this.#held.push(text as string);
    else this.#handlers.onData(Buffer.from(text as string));
  }

  /** Answers the request at `index` with `return`. */
  answer(index: number, value: unknown = {}): void {
    this.say(JSON.stringify({ return: value, id: this.request(index).id }) + '\r\n');
  }

  refuse(index: number, desc: string, errorClass = 'GenericError'): void {
    const error = { class: errorClass, desc };
    this.say(JSON.stringify({ id: this.request(index).id, error }) + '\r\n');
  }

  request(index: number): Request {
    const request = this.requests[index];
    if (!request) throw new Error(`there are ${this.requests.length} requests, none is ${index}`);
    return request;
  }

  hangUp(reason?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#handlers?.onClose(reason);
  }

  get names(): readonly string[] {
    return this.requests.map((request) => request.execute);
  }
}

export interface ReadySession {
  readonly peer: MemoryPeer;
  readonly clock: FakeClock;
  readonly session: QmpClient;
}

/** A session past its handshake; the peer's list of requests starts empty. */
export async function readySession(
  options: SessionOptions & { readonly oob?: boolean; readonly files?: boolean } = {},
): Promise<ReadySession> {
  const { oob = true, files = false, ...sessionOptions } = options;
  const clock = new FakeClock();
  const peer = new MemoryPeer();
  const transport = files ? { ...peer.transport, files: filesOf(peer) } : peer.transport;
  const opening = openSession(transport, { clock, ...sessionOptions });
  peer.say(oob ? GREETING : GREETING_WITHOUT_OOB);
  await settled();
  peer.answer(0);
  const session = await opening;
  peer.requests.length = 0;
  return { peer, clock, session };
}

/** Files go along and come to nothing. */
const filesOf = ({ transport }: MemoryPeer): FileSender => ({
  obstacle: () => Promise.resolve(undefined),
  send: (data) => transport.send(data),
});

/** How an opening fails. */
export async function failedOpening(
  peer: MemoryPeer,
  play: (clock: FakeClock) => unknown,
  options: SessionOptions = {},
): Promise<ConnectError> {
  const clock = new FakeClock();
  const opening = openSession(peer.transport, { clock, ...options }).then(
    () => {
      throw new Error('the session opened');
    },
    (error: unknown) => error as ConnectError,
  );
  await settled();
  await play(clock);
  return opening;
}
