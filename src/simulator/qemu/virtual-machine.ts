import { ConnectError } from '../../errors.js';
import type { Clock } from '../../clock.js';
import type { QmpTransport } from '../../qmp/transport.js';
import type { Faults } from '../faults.js';
import { Guest } from '../guest.js';
import type { Kernel } from '../host/kernel.js';
import { openFd, type Process } from '../host/processes.js';
import type { UnixSocket } from '../host/procfs.js';
import type { Random } from '../random.js';
import type { Trace } from '../trace.js';
import { argumentsOf } from './arguments.js';
import type { QemuConfig } from './config.js';
import { Connection, type Chunking } from './connection.js';
import { addDevice } from './device-add.js';
import { requestUnplug, settleHotplug } from './hotplug.js';
import { QmpFailure } from './failure.js';
import { kernelBackend } from './kernel-backend.js';
import { Machine } from './machine.js';
import { isMainframe } from './mainframe-buses.js';
import { Monitor } from './monitor.js';
import { canonicalHost } from './vfio-device.js';

export interface VirtualMachineOptions {
  readonly config: QemuConfig;
  readonly label: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly trace: Trace;
  readonly faults: Faults;
  readonly kernel: Kernel;
  /** Inode of the first monitor's listening socket; the others count on. */
  readonly firstInode: number;
  readonly latencyMs: number;
  readonly chunks: Chunking;
}

/** A QEMU process of the simulated host, with its monitors and its guest. */
export class VirtualMachine {
  readonly label: string;
  readonly machine: Machine;
  readonly guest: Guest;
  readonly process: Process;
  readonly #options: VirtualMachineOptions;
  readonly #monitors: readonly Monitor[];
  readonly #sockets: readonly UnixSocket[];
  #alive = true;

  /** @throws {Error} when QEMU would refuse its command line. */
  constructor(options: VirtualMachineOptions) {
    const { config, label, clock, kernel, faults, random, trace } = options;
    this.#options = options;
    this.label = label;
    const addresses = config.monitors ?? [`unix:/run/${label}.sock`];
    this.process = kernel.startProcess({
      ...config.process,
      command: isMainframe(config) ? 'qemu-system-s39' : 'qemu-system-x86',
      arguments: [
        `/usr/bin/qemu-system-${isMainframe(config) ? 's390x' : 'x86_64'}`,
        ...argumentsOf({ ...config, monitors: addresses }),
      ],
    });
    this.machine = new Machine({
      label,
      config,
      clock,
      random,
      trace,
      backend: kernelBackend(kernel, faults, this.process.pid, label),
    });
    for (const device of config.devices ?? []) this.#plugCold(device);
    settleHotplug(this.machine);
    this.guest = new Guest(this.machine, config.guest ?? {}, faults);
    this.machine.guest = this.guest;
    this.#monitors = addresses.map((address, index) => {
      openFd(this.process, `socket:[${options.firstInode + index}]`);
      return new Monitor({
        machine: this.machine,
        faults,
        address,
        oob: config.oob ?? true,
        kill: () => {
          this.kill();
        },
        exit: () => {
          this.#end(true);
        },
      });
    });
    this.#sockets = addresses.flatMap((address, index) => {
      if (!address.startsWith('unix:')) return [];
      const inode = options.firstInode + index;
      return [{ inode, path: address.slice('unix:'.length), listening: true }];
    });
    kernel.nodes.onDeviceRequest(this.process.pid, (bdf) => {
      this.#giveBack(bdf);
    });
    this.guest.start();
  }

  #plugCold(device: NonNullable<QemuConfig['devices']>[number]): void {
    try {
      addDevice(this.machine, device, false);
    } catch (error) {
      if (!(error instanceof QmpFailure)) throw error;
      throw new Error(`qemu: -device ${device.driver},id=${device.id ?? ''}: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** `x-req`: the host wants the device back, so QEMU asks the guest. */
  #giveBack(bdf: string): void {
    const device = this.machine.devices.find(({ properties }) => {
      const host = properties.get('host');
      const sysfsdev = properties.get('sysfsdev');
      return (
        (typeof host === 'string' && canonicalHost(host) === bdf) ||
        (typeof sysfsdev === 'string' && sysfsdev.endsWith(`/${bdf}`))
      );
    });
    if (device === undefined || device.properties.get('x-req') === false) return;
    this.machine.loop.post(() => {
      try {
        requestUnplug(this.machine, device);
      } catch (error) {
        if (!(error instanceof QmpFailure)) throw error;
        this.#options.trace.add(`qemu:${this.label}`, `device request: ${error.message}`);
      }
    });
  }

  get alive(): boolean {
    return this.#alive;
  }

  get addresses(): readonly string[] {
    return this.#monitors.map(({ address }) => address);
  }

  /** Listening sockets, for /proc/net/unix. */
  get sockets(): readonly UnixSocket[] {
    return this.#alive ? this.#sockets : [];
  }

  /**
   * A client connects to one of the monitors; a monitor in use lets it wait for its greeting.
   *
   * @throws {ConnectError} `CONNECT_FAILED`: nobody listens; `MONITOR_BUSY`: the backlog is full.
   */
  connect(address: string): QmpTransport {
    const { faults, clock, random, latencyMs, chunks } = this.#options;
    const monitor = this.#monitors.find((candidate) => candidate.address === address);
    const fault = faults.draw('connect', { vm: this.label, operation: 'connect' });
    if (!this.#alive || monitor === undefined || fault?.name === 'connect-refused') {
      throw new ConnectError('CONNECT_FAILED', `${address}: ECONNREFUSED`, {
        remedy: 'check that QEMU runs and listens on this monitor',
        details: { address, errno: 'ECONNREFUSED' },
      });
    }
    if (monitor.isFull) {
      throw new ConnectError('MONITOR_BUSY', `${address}: EAGAIN, others wait in line already`, {
        remedy: 'end the other clients of this monitor, or give QEMU a monitor of its own for each',
        details: { address, errno: 'EAGAIN' },
      });
    }
    const connection = new Connection({
      address,
      clock,
      random: random.fork(`connection/${clock.now()}`),
      latencyMs,
      chunks,
      onSend: (data) => this.#fateOf(data),
    });
    monitor.accept(connection, fault?.name === 'no-greeting');
    return connection;
  }

  #fateOf(data: Uint8Array): 'deliver' | 'cut' | 'deliver-and-cut' {
    const command = /"execute":\s*"([^"]*)"/.exec(Buffer.from(data).toString())?.[1];
    if (command === undefined || command === 'qmp_capabilities') return 'deliver';
    switch (this.#options.faults.draw('send', { vm: this.label, command })?.name) {
      case 'disconnect-before-send':
        return 'cut';
      case 'disconnect-after-send':
        return 'deliver-and-cut';
      case undefined:
        return 'deliver';
    }
  }

  /** SIGKILL: connections end, the kernel takes everything back. */
  kill(): void {
    this.#end(false);
  }

  #end(orderly: boolean): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#options.trace.add(`qemu:${this.label}`, orderly ? 'exits' : 'killed');
    this.machine.stopForGood();
    for (const monitor of this.#monitors) monitor.shutDown(orderly);
    this.#options.kernel.endProcess(this.process.pid);
  }
}
