import type { Socket } from 'node:net';
import { systemClock, type Clock } from '../clock.js';
import type { QmpTransport } from './transport.js';

export interface RelayOptions {
  readonly clock?: Clock | undefined;
  /** Ends both sides at once. */
  readonly signal?: AbortSignal | undefined;
  /** Reads nothing from the client before the server has spoken, as a QMP server does first. */
  readonly serverSpeaksFirst?: boolean | undefined;
}

/** How a connection through the relay came to its end. */
export interface RelayEnd {
  /** Who closed first. */
  readonly endedBy: 'client' | 'server';
  /** What the server's side failed with. */
  readonly reason: Error | undefined;
}

/**
 * How long a server may still talk to a client that has sent its end. QEMU closes at once
 * (chardev/char-socket.c, tcp_chr_read); a server that never does must not hold up the next client.
 */
const LINGER_MS = 2_000;

/**
 * Passes bytes between a client's socket and a server until both have ended: unchanged, in order, and no
 * faster than the slower side takes them. The socket must be paused, and half-open allowed.
 */
export function relay(
  client: Socket,
  server: QmpTransport,
  { clock = systemClock, signal, serverSpeaksFirst = false }: RelayOptions = {},
): Promise<RelayEnd> {
  return new Promise((resolve) => {
    let endedBy: RelayEnd['endedBy'] | undefined;
    let reason: Error | undefined;
    let heard = !serverSpeaksFirst;
    let cancelLinger: () => void = () => undefined;
    const open = { client: true, server: true };
    const ended = (side: keyof typeof open) => {
      open[side] = false;
      endedBy ??= side;
      if (open.client || open.server) return;
      cancelLinger();
      signal?.removeEventListener('abort', stop);
      resolve({ endedBy, reason });
    };
    const stop = () => {
      server.close();
      client.destroy();
    };

    client.on('error', () => undefined);
    client.on('data', (data: Uint8Array) => {
      // One piece at a time: what QEMU has not taken, the client must not pile up here.
      client.pause();
      server.send(data).then(
        () => client.resume(),
        () => client.destroy(),
      );
    });
    client.on('drain', () => server.resume?.());
    client.on('end', () => {
      endedBy ??= 'client';
      if (server.endSending === undefined) server.close();
      else server.endSending();
      cancelLinger = clock.after(LINGER_MS, stop);
    });
    client.on('close', () => {
      server.close();
      ended('client');
    });

    server.start({
      onData(data) {
        if (!heard) client.resume();
        heard = true;
        if (!client.destroyed && !client.write(data)) server.pause?.();
      },
      onClose(why) {
        reason = why;
        if (open.server) ended('server');
        // The last bytes go out first.
        client.end(() => client.destroy());
      },
    });
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    if (heard) client.resume();
  });
}
