import type { Clock } from '../../clock.js';
import type { JsonObject, JsonValue } from '../../json.js';
import type { Random } from '../random.js';
import type { Trace } from '../trace.js';
import { MEASURED_TIMING, type QemuConfig, type Timing } from './config.js';
import { MainLoop } from './main-loop.js';
import { isMainframe, mainframeBuses, PCI_ROOT_BUS } from './mainframe-buses.js';
import { createBus, resetBridge, type PciBus, type PciDevice } from './model.js';
import { PausableClock } from './pausable-clock.js';
import { RELEASES, type Release, type ReleaseName } from './releases.js';
import type { HandedFile, VfioBackend } from './vfio-backend.js';

/** What the machine tells the guest; the guest acts on the machine later, by its own timers. */
export interface GuestHooks {
  /** An ACPI event: some bus has slots that came or went. */
  acpiEvent(): void;
  /** A native or SHPC slot had its attention button pressed or its presence changed. */
  slotEvent(bus: PciBus, slot: number): void;
  /** Power-on or reset: whatever ran before is gone. */
  reset(): void;
}

export interface MachineOptions {
  readonly label: string;
  readonly config: QemuConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly trace: Trace;
  readonly backend: VfioBackend;
}

export type RunState = 'prelaunch' | 'running' | 'paused' | 'internal-error';

export const ROOT_BUS_PATH = '/machine/q35/pcie.0';
/** Where q35 puts its ACPI hot-plug controller with one CPU. */
export const LPC_PATH = '/machine/unattached/device[2]';

/** An object of object-add. */
export interface MachineObject {
  readonly type: string;
  /** Of an iommufd object: /dev/iommu, where it was handed over open. */
  readonly fd?: HandedFile | undefined;
}

/** The state of one simulated QEMU: devices, run state, pending deletions. */
export class Machine {
  readonly label: string;
  readonly config: QemuConfig;
  readonly releaseName: ReleaseName;
  readonly release: Release;
  readonly clock: Clock;
  readonly random: Random;
  readonly trace: Trace;
  readonly backend: VfioBackend;
  readonly timing: Required<Timing>;
  readonly loop: MainLoop;
  /** Stands still while the VM is stopped. */
  readonly virtual: PausableClock;
  readonly rootBus: PciBus;
  readonly #otherBuses: readonly PciBus[];
  /** Every device, in order of creation. */
  readonly devices: PciDevice[] = [];
  /** Objects of object-add by id. */
  readonly objects = new Map<string, MachineObject>();
  runState: RunState;
  /** The CPUs have run since the last reset. */
  #ranSinceReset = false;
  guest: GuestHooks | undefined;
  #anonymousCount = 0;
  readonly #deletions: { readonly serial: number; readonly finalise: () => void }[] = [];
  #deletionSerial = 0;
  readonly #listeners = new Set<(event: string, data: JsonObject | undefined) => void>();

  constructor(options: MachineOptions) {
    const { config } = options;
    this.label = options.label;
    this.config = config;
    this.releaseName = config.release ?? '7.2.22';
    this.release = RELEASES[this.releaseName];
    this.clock = options.clock;
    this.random = options.random;
    this.trace = options.trace;
    this.backend = options.backend;
    this.timing = { ...MEASURED_TIMING, ...config.timing };
    this.loop = new MainLoop(options.clock);
    this.runState = config.startPaused === true ? 'prelaunch' : 'running';
    this.#ranSinceReset = this.running;
    this.virtual = new PausableClock(options.clock, this.running, startOfVirtualTime(config));
    this.rootBus = isMainframe(config)
      ? createBus('pci.0', PCI_ROOT_BUS, 'PCI', undefined)
      : createBus('pcie.0', ROOT_BUS_PATH, 'PCIE', undefined);
    this.#otherBuses = isMainframe(config) ? mainframeBuses(config) : [];
  }

  get running(): boolean {
    return this.runState === 'running';
  }

  /** A length of time drawn from one of the ranges. */
  drawMs(range: keyof Timing): number {
    const [low, high] = this.timing[range];
    return low + this.random.next() * (high - low);
  }

  // Devices and buses

  /** Root bus first, then every bus behind a device, in order of creation. */
  get buses(): readonly PciBus[] {
    const behind = this.devices.map(({ childBus }) => childBus).filter((bus) => bus !== undefined);
    return [this.rootBus, ...this.#otherBuses, ...behind];
  }

  find(id: string): PciDevice | undefined {
    return this.devices.find((device) => device.id === id);
  }

  findByPath(path: string): PciDevice | undefined {
    return this.devices.find((device) => device.path === path);
  }

  /** Where a new device of this id will be in QOM; without id the next anonymous place is used up. */
  takePath(id: string | undefined): string {
    return id === undefined
      ? `/machine/peripheral-anon/device[${this.#anonymousCount++}]`
      : `/machine/peripheral/${id}`;
  }

  // Events

  onEvent(listener: (event: string, data: JsonObject | undefined) => void): void {
    this.#listeners.add(listener);
  }

  emit(event: string, data?: Record<string, JsonValue>): void {
    this.trace.add(`qemu:${this.label}`, `event ${event} ${JSON.stringify(data ?? {})}`);
    for (const listener of this.#listeners) listener(event, data);
  }

  // Removal

  /**
   * Takes the devices out of QOM at once. What they hold is given back, and DEVICE_DELETED sent,
   * when the last reference has gone: after an RCU grace period.
   */
  unparent(devices: readonly PciDevice[]): void {
    for (const device of devices) {
      for (const { device: below } of [...(device.childBus?.children ?? [])])
        this.unparent([below]);
      const { children } = device.bus;
      children.splice(
        children.findIndex((child) => child.device === device),
        1,
      );
      this.devices.splice(this.devices.indexOf(device), 1);
      this.trace.add(`qemu:${this.label}`, `${device.path} unlinked`);
      this.#deleteLater(() => {
        this.#finalise(device);
      });
    }
    const last = this.#deletionSerial;
    this.clock.after(this.drawMs('graceMs'), () => {
      this.loop.post(() => {
        this.finishDeletions(last);
      });
    });
  }

  /** A device that was realized but never plugged: only its inner object is announced. */
  discard(device: PciDevice): void {
    this.#deleteLater(() => {
      device.release?.();
      this.#announceInner(device);
    });
  }

  #deleteLater(finalise: () => void): void {
    this.#deletions.push({ serial: ++this.#deletionSerial, finalise });
  }

  /**
   * Finalises what was unlinked up to `lastSerial`, in the order of unlinking. A failing `device_add`
   * waits for RCU, so all pending deletions happen before its answer.
   */
  finishDeletions(lastSerial = Infinity): void {
    for (;;) {
      const next = this.#deletions[0];
      if (next === undefined || next.serial > lastSerial) return;
      this.#deletions.shift();
      next.finalise();
    }
  }

  #finalise(device: PciDevice): void {
    device.release?.();
    this.#announceInner(device);
    this.emit('DEVICE_DELETED', {
      ...(device.id === undefined ? {} : { device: device.id }),
      path: device.path,
    });
  }

  #announceInner({ path, type: { inner } }: PciDevice): void {
    if (inner) this.emit('DEVICE_DELETED', { path: `${path}/${inner.name}` });
  }

  // Run state

  stop(): void {
    if (!this.running) return;
    this.virtual.pause();
    this.runState = 'paused';
    this.emit('STOP');
  }

  cont(): void {
    if (this.running) return;
    this.runState = 'running';
    this.#ranSinceReset = true;
    this.virtual.resume();
    this.emit('RESUME');
  }

  /** What stood still before a reset has not started after it (QEMU 7.2 softmmu/runstate.c, main_loop_should_exit). */
  wasReset(): void {
    if (!this.running) this.runState = 'prelaunch';
  }

  /** Whether the CPUs have executed anything since the last reset. */
  get dirty(): boolean {
    return this.#ranSinceReset;
  }

  /** The registers that a reset clears; the plug controllers have their own say before this. */
  resetRegisters(): void {
    this.virtual.clear();
    for (const device of this.devices) {
      resetBridge(device);
      device.irq = 0;
      for (const region of device.regions) region.address = undefined;
    }
    this.#ranSinceReset = this.running;
  }

  /** The process is gone. */
  stopForGood(): void {
    this.loop.stop();
    this.virtual.clear();
    this.virtual.pause();
    this.#listeners.clear();
  }
}

/** 0 under `-S`; a guest that is up already has run for a while. */
function startOfVirtualTime(config: QemuConfig): number {
  if (config.startPaused === true) return 0;
  return (config.guest?.bootMs ?? 0) === 0 ? 60_000 : 1;
}
