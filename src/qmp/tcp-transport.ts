import { ConnectError, QmplugError } from '../errors.js';
import { formatAddress } from './address.js';
import type { ConnectOptions } from './connect-options.js';
import { openSocket, SocketTransport } from './socket-transport.js';
import type { QmpTransport } from './transport.js';

/**
 * Connects to a TCP monitor. QMP has neither encryption nor a password there: whoever reaches
 * the port has the VM.
 *
 * @throws {ConnectError} `CONNECT_FAILED`
 * @throws {QmpError} `ABORTED`
 */
export async function connectTcp(
  host: string,
  port: number,
  options: ConnectOptions = {},
): Promise<QmpTransport> {
  const address = formatAddress({ kind: 'tcp', host, port });
  try {
    return new SocketTransport(address, await openSocket({ host, port }, address, options));
  } catch (error) {
    if (error instanceof QmplugError) throw error;
    const errno = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ConnectError('CONNECT_FAILED', `${address}: ${REASONS[errno] ?? errno}`, {
      cause: error,
      remedy: `check that QEMU runs with -qmp tcp:${host}:${port},server=on,wait=off and is reachable`,
      details: { address, errno },
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens on the port',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'the host does not answer',
};
