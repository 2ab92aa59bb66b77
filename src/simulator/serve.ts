import type { Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { ConnectError } from '../errors.js';
import { relay } from '../qmp/relay.js';
import type { QemuConfig } from './qemu/config.js';
import { createWorld } from './world.js';

/** One monitor of a simulated QEMU, and who connects to it. */
export interface ServedMonitor {
  readonly address: string;
  readonly clients: AsyncIterable<Socket>;
}

export interface ServeOptions {
  readonly config: QemuConfig;
  /** Everything that varies, varies with this. */
  readonly seed?: string | number | undefined;
  readonly monitors: readonly ServedMonitor[];
  /** The simulated QEMU keeps this clock's time. */
  readonly clock: Clock;
  /** Ends it as SIGKILL does. */
  readonly signal: AbortSignal;
}

/** A QEMU that is served; `ended` resolves when a client has said `quit`, or with the signal. */
export interface ServedQemu {
  readonly ended: Promise<'quit' | 'signal'>;
}

/**
 * Starts a simulated QEMU behind sockets, in real time. It has no host: a vfio-pci device finds nothing there.
 *
 * @throws {Error} QEMU would refuse the configuration.
 */
export function serveSimulated(options: ServeOptions): ServedQemu {
  const { config, seed = 0, monitors, clock, signal } = options;
  const addresses = monitors.map(({ address }) => address);
  const world = createWorld({ seed, qemu: { ...config, monitors: addresses } });
  const vm = world.vm();
  const stopClock = world.clock.follow(clock);
  const ended = new Promise<'quit' | 'signal'>((resolve) => {
    const end = (how: 'quit' | 'signal') => {
      vm.kill();
      stopClock();
      resolve(how);
    };
    const onAbort = () => {
      end('signal');
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const serve = async (client: Socket, address: string) => {
      try {
        await relay(client, vm.connect(address), { clock, signal });
      } catch (error) {
        // As with QEMU: who comes when too many wait already, is sent away.
        if (!(error instanceof ConnectError)) throw error;
        client.destroy();
      }
      if (vm.alive) return;
      signal.removeEventListener('abort', onAbort);
      end('quit');
    };
    for (const { address, clients } of monitors) void acceptAll(clients, address, serve);
  });
  return { ended };
}

/** The monitor itself lets its clients wait for each other. */
async function acceptAll(
  clients: AsyncIterable<Socket>,
  address: string,
  serve: (client: Socket, address: string) => Promise<void>,
): Promise<void> {
  for await (const client of clients) void serve(client, address);
}
