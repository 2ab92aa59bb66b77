import { formatAddress, parseAddress, type QmpAddress } from './address.js';
import { QmpClient } from './client.js';
import { connectTransport } from './connect-transport.js';
import type { ConnectQmpOptions, SessionOptions } from './session-options.js';
import type { QmpTransport } from './transport.js';

/**
 * Opens a session on a transport that is connected already, and owns the transport from then on.
 *
 * @throws {ConnectError} `MONITOR_BUSY`, `NO_GREETING`, `BAD_GREETING`, `NEGOTIATION_FAILED`
 * @throws {QmpError} `ABORTED`
 */
export function openSession(
  transport: QmpTransport,
  options: SessionOptions = {},
): Promise<QmpClient> {
  return QmpClient.open(transport.address, () => Promise.resolve(transport), options);
}

/**
 * Connects to a monitor and opens a session.
 *
 * @throws {InputError} `BAD_ADDRESS`
 * @throws {ConnectError} `CONNECT_FAILED`, and what `openSession` throws.
 * @throws {QmpError} `ABORTED`
 */
export async function connectQmp(
  address: QmpAddress | string,
  options: ConnectQmpOptions = {},
): Promise<QmpClient> {
  const parsed = typeof address === 'string' ? parseAddress(address) : address;
  const { connectDeadlineMs: deadlineMs, signal, clock, logger } = options;
  const connect = () => connectTransport(parsed, { deadlineMs, signal, clock, logger });
  return QmpClient.open(formatAddress(parsed), connect, options);
}
