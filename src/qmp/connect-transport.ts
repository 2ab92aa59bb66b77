import { parseAddress, type QmpAddress } from './address.js';
import type { ConnectOptions } from './connect-options.js';
import { connectExec } from './exec-transport.js';
import { connectTcp } from './tcp-transport.js';
import type { QmpTransport } from './transport.js';
import { connectUnix } from './unix-transport.js';
import { connectWs } from './ws-transport.js';

/**
 * Opens the transport that an address names.
 *
 * @throws {InputError} `BAD_ADDRESS`: not an address.
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
      return connectWs(parsed.url, options);
  }
}
