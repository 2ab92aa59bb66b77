import type { QmpTransport } from '../qmp/transport.js';
import type { VirtualClock } from './clock.js';
import type { QemuConfig } from './qemu/config.js';
import { createWorld } from './world.js';

/** A single simulated QEMU and nothing around it. */
export interface SimulatedQemu {
  readonly clock: VirtualClock;
  /** A client of its first monitor. @throws {ConnectError} */
  connect(): QmpTransport;
}

/** Starts a QEMU from the same configuration that `argumentsOf` turns into a real command line. */
export function simulateQemu(config: QemuConfig, seed: string | number = 0): SimulatedQemu {
  const world = createWorld({ seed, qemu: config });
  const vm = world.vm();
  return {
    clock: world.clock,
    connect: () => vm.connect(vm.addresses[0] ?? ''),
  };
}
