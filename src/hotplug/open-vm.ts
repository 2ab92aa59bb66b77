import { connectQmp, openSession } from '../qmp/connect.js';
import type { QmpTransport } from '../qmp/transport.js';
import { identifyVm } from '../vm/identity.js';
import type { VmIdentity } from '../vm/types.js';
import type { Environment } from './environment.js';
import { openLiveLink } from './live-link.js';
import { Vm } from './vm.js';

export interface OpenVmOptions {
  readonly environment: Environment;
  /** The QEMU process behind the address, where it cannot be found by itself; it is checked. */
  readonly qemuPid?: number | undefined;
  /** Milliseconds until a monitor that stays silent counts as busy. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Reaches the monitor instead of the address, which then only names it: a player, a simulator. */
  readonly transport?: (() => Promise<QmpTransport>) | undefined;
  /** Who is behind that transport; without it no process is proven, and no host device goes there. */
  readonly identity?: VmIdentity | undefined;
}

/**
 * Connects to a running VM, whoever booted it.
 *
 * @param address `/run/vm.sock`, `unix:PATH`, `tcp:HOST:PORT` or `exec:COMMAND`.
 * @throws {ConnectError} there is no session to be had, or a foreign client has the monitor.
 */
export async function openVm(address: string, options: OpenVmOptions): Promise<Vm> {
  const { environment, qemuPid, transport, identity, signal } = options;
  const { clock, logger, effects, liveness } = environment;
  const session = { clock, logger, greetingDeadlineMs: options.connectTimeoutMs, signal };
  const link = await openLiveLink({
    address,
    connect: async () =>
      transport === undefined
        ? connectQmp(address, session)
        : openSession(await transport(), session),
    identify: async () => {
      if (transport === undefined) return identifyVm(address, effects, { qemuPid });
      return identity ?? { kind: 'address', address };
    },
    liveness,
  });
  return new Vm(environment, link);
}
