import type * as Ws from 'ws';
import { ConnectError, QmplugError } from '../errors.js';
import { excerpt } from '../text.js';
import type { ConnectOptions } from './connect-options.js';
import { Delivery } from './delivery.js';
import { connectAborted, untilOpen } from './opening.js';
import type { QmpTransport, TransportHandlers } from './transport.js';

/** More than the framer takes in one message; a bridge may put several into a frame. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
/** RFC 6455, section 7.4.1. */
const CLOSED_NORMALLY = 1000;
/** RFC 6455, section 7.1.5: the connection ended without a close frame. */
const CLOSED_WITHOUT_FRAME = 1005;
const REMEDY =
  'check that a bridge to the monitor listens there: websocat --binary ws-l:HOST:PORT unix:PATH';

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

async function opened(
  socket: Ws.WebSocket,
  address: string,
  options: ConnectOptions,
): Promise<void> {
  const onOpen = () => {
    // At once: a frame may have come with the handshake, and nobody listens yet.
    socket.pause();
  };
  const discard = () => {
    socket.terminate();
  };
  try {
    await untilOpen({ address, socket, event: 'open', onOpen, discard, remedy: REMEDY }, options);
  } catch (cause) {
    if (cause instanceof QmplugError) throw cause;
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new ConnectError('CONNECT_FAILED', `${address}: ${excerpt(said)}`, {
      cause,
      remedy: REMEDY,
      details: { address },
    });
  }
}

class WsTransport implements QmpTransport {
  readonly address: string;
  readonly #socket: Ws.WebSocket;
  readonly #delivery = new Delivery();

  /** Takes the socket over. It must be paused: nothing reads before `start`. */
  constructor(address: string, socket: Ws.WebSocket) {
    this.address = address;
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('error', (error) => {
      this.#delivery.failed(error);
    });
    socket.on('close', (code, reason) => {
      if (code !== CLOSED_NORMALLY && code !== CLOSED_WITHOUT_FRAME) {
        const said = reason.length > 0 ? `: ${excerpt(reason.toString())}` : '';
        this.#delivery.failed(new Error(`the WebSocket was closed with ${code}${said}`));
      }
      this.#delivery.ended();
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
    this.#delivery.start(handlers, () => {
      this.#socket.on('message', (data: Buffer) => {
        handlers.onData(data);
      });
      this.#socket.resume();
    });
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
