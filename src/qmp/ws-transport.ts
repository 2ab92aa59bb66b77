import type * as Ws from 'ws';
import { systemClock } from '../clock.js';
import { ConnectError } from '../errors.js';
import { excerpt } from '../text.js';
import { DEFAULT_CONNECT_DEADLINE_MS, type ConnectOptions } from './connect-options.js';
import { connectAborted } from './socket-transport.js';
import type { QmpTransport, TransportHandlers } from './transport.js';

/** More than the framer takes in one message; a bridge may put several into a frame. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
/** RFC 6455, section 7.4.1. */
const CLOSED_NORMALLY = 1000;
/** RFC 6455, section 7.1.5: the connection ended without a close frame. */
const CLOSED_WITHOUT_FRAME = 1005;

/**
 * Connects to a WebSocket whose frames carry the bytes of a monitor: a bridge in front of a unix
 * socket. QEMU's own (`-qmp websocket:`) greets, and then leaves commands lying until another
 * monitor wakes it (7.2 to 11.1).
 *
 * @throws {ConnectError} `CONNECT_FAILED`
 * @throws {QmpError} `ABORTED`
 */
export async function connectWs(url: string, options: ConnectOptions = {}): Promise<QmpTransport> {
  const { signal } = options;
  const { WebSocket } = await loadWs(url);
  if (signal?.aborted) throw connectAborted(url, signal);
  // Frames are raw bytes for every bridge that knows the subprotocol, and for QEMU's server.
  const socket = new WebSocket(url, ['binary'], {
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    followRedirects: false,
  });
  await opened(socket, url, options);
  return new WsTransport(url, socket);
}

async function loadWs(url: string): Promise<typeof Ws> {
  try {
    return await import('ws');
  } catch (cause) {
    throw new ConnectError('CONNECT_FAILED', `${url}: the package ws cannot be loaded`, {
      cause,
      remedy: 'npm install ws',
      details: { address: url },
    });
  }
}

function opened(socket: Ws.WebSocket, url: string, options: ConnectOptions): Promise<void> {
  const { deadlineMs = DEFAULT_CONNECT_DEADLINE_MS, signal, clock = systemClock } = options;
  return new Promise((resolve, reject) => {
    const settle = () => {
      cancelDeadline();
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener('open', onOpen);
      socket.removeListener('error', onError);
    };
    const fail = (error: Error) => {
      settle();
      // Whatever a dying socket still has to say is of no interest.
      socket.on('error', () => undefined);
      socket.terminate();
      reject(error);
    };
    const onOpen = () => {
      settle();
      // At once: a frame may have come with the handshake, and nobody listens yet.
      socket.pause();
      resolve();
    };
    const onError = (cause: Error) => {
      fail(connectFailed(url, excerpt(cause.message), cause));
    };
    const onAbort = () => {
      fail(connectAborted(url, signal));
    };
    const cancelDeadline = clock.after(deadlineMs, () => {
      fail(connectFailed(url, `no connection within ${deadlineMs} ms`));
    });
    socket.on('open', onOpen);
    socket.on('error', onError);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

const connectFailed = (url: string, reason: string, cause?: Error) =>
  new ConnectError('CONNECT_FAILED', `${url}: ${reason}`, {
    cause,
    remedy:
      'check that a bridge to the monitor listens there: websocat --binary ws-l:HOST:PORT unix:PATH',
    details: { address: url },
  });

class WsTransport implements QmpTransport {
  readonly address: string;
  readonly #socket: Ws.WebSocket;
  #handlers: TransportHandlers | undefined;
  #reason: Error | undefined;
  #ended = false;

  /** Takes the socket over. It must be paused: nothing reads before `start`. */
  constructor(address: string, socket: Ws.WebSocket) {
    this.address = address;
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('error', (error) => {
      this.#reason ??= error;
    });
    socket.on('close', (code, reason) => {
      this.#ended = true;
      if (code !== CLOSED_NORMALLY && code !== CLOSED_WITHOUT_FRAME) {
        const said = reason.length > 0 ? `: ${excerpt(reason.toString())}` : '';
        this.#reason ??= new Error(`the WebSocket was closed with ${code}${said}`);
      }
      this.#handlers?.onClose(this.#reason);
    });
  }

  send(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(data, { binary: true }, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    if (this.#ended) {
      queueMicrotask(() => {
        handlers.onClose(this.#reason);
      });
      return;
    }
    this.#socket.on('message', (data: Buffer) => {
      handlers.onData(data);
    });
    this.#socket.resume();
  }

  close(): void {
    this.#socket.terminate();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  endSending(): void {
    this.#socket.close(CLOSED_NORMALLY);
  }
}
