import { InputError } from '../errors.js';
import { formatAddress, parseAddress, type QmpAddress } from './address.js';
import type { ConnectOptions } from './connect-options.js';
import { connectExec } from './exec-transport.js';
import { connectTcp } from './tcp-transport.js';
import type { QmpTransport } from './transport.js';
import { connectUnix } from './unix-transport.js';

/**
 * Opens the transport that an address names.
 *
 * @throws {InputError} `BAD_ADDRESS`: not an address, or one of a kind that cannot be opened.
 * @throws {ConnectError} `CONNECT_FAILED`, `MONITOR_BUSY`
 * @throws {QmpError} `ABORTED`
 */
export async function connectTransport(
  address: QmpAddress | string,
  options: ConnectOptions = {},
): Promise<QmpTransport> {
  const parsed = typeof address === 'string' ? parseAddress(address) : address;
  switch (parsed.kind) {
    case 'unix':
      return connectUnix(parsed.path, options);
    case 'tcp':
      return connectTcp(parsed.host, parsed.port, options);
    case 'exec':
      return connectExec(parsed.command, options);
    case 'ws':
      // QEMU's own WebSocket monitor takes commands and leaves them lying (7.2 to 10.2).
      throw new InputError('BAD_ADDRESS', `${formatAddress(parsed)}: no WebSocket transport`, {
        remedy:
          'reach the unix socket: exec:websocat --binary URL, or exec:ssh HOST socat - UNIX:PATH',
      });
  }
}
