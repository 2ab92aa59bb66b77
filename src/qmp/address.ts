import { InputError } from '../errors.js';
import { excerpt } from '../text.js';
import { joinCommand, splitCommand } from './command-words.js';

/** Where a monitor is. */
export type QmpAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'ws'; readonly url: string }
  | {
      /** A command whose stdin and stdout speak QMP; run as it is, without a shell. */
      readonly kind: 'exec';
      readonly command: readonly [string, ...string[]];
    };

/** Bytes of a unix socket's path: `sun_path` holds 108 with the final NUL (unix(7)). */
export const MAX_UNIX_PATH_BYTES = 107;

const TCP = /^(?:\[([0-9a-fA-F:.]+(?:%[A-Za-z0-9._-]+)?)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

/** QEMU writes options behind the path; pasted along they would name a file that is not there. */
const QEMU_OPTIONS = /,(?:server|wait|reconnect|reconnect-ms|telnet|id)(?:=|,|$)/;

/**
 * Reads an address: `unix:PATH`, `/path`, `./path`, `../path`, `tcp:HOST:PORT` (an IPv6 host in brackets),
 * `ws://...`, `wss://...` (without a password: addresses are printed) or `exec:COMMAND`.
 *
 * @throws {InputError} `BAD_ADDRESS`
 */
export function parseAddress(text: string): QmpAddress {
  if (/^\.{0,2}\//.test(text)) return unixAddress(text, text);
  if (text.startsWith('unix:')) return unixAddress(text.slice('unix:'.length), text);
  if (text.startsWith('tcp:')) return tcpAddress(text.slice('tcp:'.length), text);
  if (/^wss?:\/\//.test(text)) return wsAddress(text);
  if (text.startsWith('exec:')) {
    return { kind: 'exec', command: splitCommand(text.slice('exec:'.length)) };
  }
  throw badAddress(text, 'no such kind of address');
}

/** Writes the canonical form; `parseAddress` reads back the same address. */
export function formatAddress(address: QmpAddress): string {
  switch (address.kind) {
    case 'unix':
      return `unix:${address.path}`;
    case 'tcp':
      return `tcp:${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
    case 'ws':
      return address.url;
    case 'exec':
      return `exec:${joinCommand(address.command)}`;
  }
}

function unixAddress(path: string, text: string): QmpAddress {
  if (path === '') throw badAddress(text, 'the path is empty');
  if (path.includes('\0')) throw badAddress(text, 'the path contains NUL');
  if (QEMU_OPTIONS.test(path)) {
    throw badAddress(text, "the options behind the path are QEMU's own; give the path alone");
  }
  const byteCount = Buffer.byteLength(path);
  if (byteCount > MAX_UNIX_PATH_BYTES) {
    throw new InputError(
      'BAD_ADDRESS',
      `The socket path has ${byteCount} bytes, ${MAX_UNIX_PATH_BYTES} are possible: ${excerpt(path)}`,
      { remedy: 'use a shorter path, or a relative one from a directory nearby' },
    );
  }
  return { kind: 'unix', path };
}

function tcpAddress(rest: string, text: string): QmpAddress {
  const match = TCP.exec(rest);
  if (!match) throw badAddress(text, 'expected tcp:HOST:PORT');
  const [, ipv6, name, port = ''] = match;
  const host = ipv6 ?? name ?? '';
  const number = Number(port);
  if (number < 1 || number > 65535) throw badAddress(text, 'the port must be 1-65535');
  return { kind: 'tcp', host, port: number };
}

function wsAddress(text: string): QmpAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw badAddress(text, 'not a URL');
  }
  if (url.hash !== '') throw badAddress(text, 'a WebSocket takes no fragment');
  if (url.username !== '' || url.password !== '') {
    throw new InputError('BAD_ADDRESS', 'A WebSocket address with a password in it', {
      remedy:
        'addresses are printed and logged: reach the bridge through a tunnel (ssh -L) instead',
    });
  }
  return { kind: 'ws', url: url.href };
}

const badAddress = (text: string, reason: string) =>
  new InputError('BAD_ADDRESS', `Not a QMP address: ${excerpt(JSON.stringify(text))}: ${reason}`, {
    remedy: 'write unix:PATH, /path or ./path, tcp:HOST:PORT, ws://HOST:PORT or exec:COMMAND',
  });
