import { ConnectError } from '../errors.js';
import type { QmpTransport } from '../qmp/transport.js';
import { VirtualClock } from './clock.js';
import { ControllerProcess } from './controller-process.js';
import { Faults, type FaultConfig } from './faults.js';
import type { GuestConfig } from './guest-config.js';
import type { HostConfig } from './host/config.js';
import { simulatedEffects } from './host/effects.js';
import { Kernel } from './host/kernel.js';
import { snapshotKernel } from './host/snapshot.js';
import { MemoryStore } from './memory-store.js';
import type { QemuConfig } from './qemu/config.js';
import type { Chunking } from './qemu/connection.js';
import { VirtualMachine } from './qemu/virtual-machine.js';
import { Random } from './random.js';
import { Trace } from './trace.js';

export interface WorldConfig {
  /** Everything that varies, varies with this. */
  readonly seed: string | number;
  /** The VMs that run from the start. */
  readonly qemu?: QemuConfig | readonly QemuConfig[];
  /** The guest of every VM that names none of its own. */
  readonly guest?: GuestConfig;
  readonly host?: HostConfig;
  readonly faults?: FaultConfig;
  /** Longest time a QMP message is on its way, in ms. Default 0.2. */
  readonly latencyMs?: number;
  /** Longest time a host effect takes, in ms. Default 0. */
  readonly hostLatencyMs?: number;
  /** How QEMU's output is cut. Default `whole`. */
  readonly chunks?: Chunking;
}

/** Sockets get inodes from here on. */
const FIRST_INODE = 24_500;
const INODES_PER_VM = 16;

/** A host with its kernel, VMs, guests and controller processes, on one virtual clock. */
export class World {
  readonly clock = new VirtualClock();
  readonly trace = new Trace(this.clock);
  readonly faults: Faults;
  readonly kernel: Kernel;
  /** Survives every process. */
  readonly store = new MemoryStore();
  readonly #config: WorldConfig;
  readonly #random: Random;
  readonly #vms: VirtualMachine[] = [];

  constructor(config: WorldConfig) {
    this.#config = config;
    this.#random = new Random(config.seed);
    this.faults = new Faults(config.faults ?? {}, this.#random.fork('faults'), this.trace);
    this.kernel = new Kernel(config.host ?? {}, this.clock, this.trace);
    const { qemu = {} } = config;
    for (const one of isList(qemu) ? qemu : [qemu]) this.startVm(one);
  }

  /** In order of their start, dead ones included. */
  get vms(): readonly VirtualMachine[] {
    return this.#vms;
  }

  /** The only VM, or the one with this label (`vm0`, or its name). @throws {Error} */
  vm(label?: string): VirtualMachine {
    const found = label === undefined ? this.#vms[0] : this.#vms.find((vm) => vm.label === label);
    if (found === undefined) throw new Error(`No VM ${label ?? ''}`);
    return found;
  }

  /** @throws {Error} when QEMU would refuse its command line. */
  startVm(config: QemuConfig): VirtualMachine {
    const index = this.#vms.length;
    const label = config.name ?? `vm${index}`;
    const { guest } = this.#config;
    const vm = new VirtualMachine({
      config: guest === undefined || config.guest !== undefined ? config : { ...config, guest },
      label,
      clock: this.clock,
      random: this.#random.fork(`vm/${index}`),
      trace: this.trace,
      faults: this.faults,
      kernel: this.kernel,
      firstInode: FIRST_INODE + index * INODES_PER_VM,
      latencyMs: this.#config.latencyMs ?? 0.2,
      chunks: this.#config.chunks ?? 'whole',
    });
    this.#vms.push(vm);
    return vm;
  }

  /** Starts a process that may use the host and connect to monitors. */
  startController(command = 'qmplug'): ControllerProcess {
    const { pid } = this.kernel.startProcess({ command });
    const random = this.#random.fork(`process/${pid}`);
    return new ControllerProcess({
      pid,
      clock: this.clock,
      store: this.store,
      faults: this.faults,
      random,
      trace: this.trace,
      effects: simulatedEffects({
        kernel: this.kernel,
        faults: this.faults,
        pid,
        sockets: () => this.#vms.flatMap(({ sockets }) => sockets),
        latencyMs: this.#config.hostLatencyMs,
        random,
      }),
      connect: (address) => this.connect(address),
      onKilled: () => {
        this.kernel.endProcess(pid);
      },
    });
  }

  /**
   * A client outside every process of this world connects.
   *
   * @throws {ConnectError} `CONNECT_FAILED`
   */
  connect(address: string): QmpTransport {
    const vm = this.#vms.findLast(
      (candidate) => candidate.alive && candidate.addresses.includes(address),
    );
    if (vm) return vm.connect(address);
    const known = this.#vms.some(({ addresses }) => addresses.includes(address));
    const errno = known ? 'ECONNREFUSED' : 'ENOENT';
    throw new ConnectError('CONNECT_FAILED', `${address}: ${errno}`, {
      remedy: 'check that QEMU runs and listens on this monitor',
      details: { address, errno },
    });
  }

  /** Lets time jump forward until the promise settles. */
  run<T>(promise: Promise<T>, limitMs?: number): Promise<T> {
    return this.clock.runUntil(promise, limitMs);
  }

  /** Canonical text of all that may change on the host; equal texts mean a restored host. */
  snapshot(): string {
    return snapshotKernel(this.kernel);
  }
}

function isList(value: QemuConfig | readonly QemuConfig[]): value is readonly QemuConfig[] {
  return Array.isArray(value);
}

export function createWorld(config: WorldConfig): World {
  return new World(config);
}
