import type { Faults } from './faults.js';
import type { GuestConfig } from './guest-config.js';
import { acpiEject, describeSlots, readAcpiEvent } from './qemu/acpi-hotplug.js';
import { placeBars, runFirmware } from './qemu/firmware.js';
import type { GuestHooks, Machine } from './qemu/machine.js';
import { devicesOn, isFound, slotOf, type PciBus, type PciDevice } from './qemu/model.js';
import { slotState, slotUnplug } from './qemu/slot-hotplug.js';

/** Reaction times of Linux 6.1 and 6.12 under TCG, in ms; ranges are drawn from the seed. */
const ACPI_TAKES = [4, 40] as const;
/** Up to the eject; DEVICE_DELETED follows after the grace period. */
const ACPI_EJECTS = [1, 10] as const;
/** Until pciehp has read a slot event. */
const SLOT_REACTS = [2, 8] as const;
const SLOT_POWERS_ON = [130, 145] as const;
/** pciehp waits five seconds for a second press, then switches off and waits another. */
const BUTTON_WINDOW_MS = 5_000;
const SLOT_POWERS_OFF = [1_050, 1_200] as const;
const FIRMWARE_MS = 120;
const DEFAULT_BOOT_MS = 1_900;
/** A guest that takes a device back after the boot-time race does so within seconds. */
const UNASKED_EJECT_MS = 300;

/** What runs inside the VM: firmware, then possibly an operating system that serves hot-plug. */
export class Guest implements GuestHooks {
  readonly #machine: Machine;
  readonly #config: GuestConfig;
  readonly #faults: Faults;
  #booted = false;
  readonly #taken = new Set<PciDevice>();

  constructor(machine: Machine, config: GuestConfig, faults: Faults) {
    this.#machine = machine;
    this.#config = config;
    this.#faults = faults;
  }

  /** The hot-added devices that the operating system uses now. */
  get devices(): readonly PciDevice[] {
    return [...this.#taken].filter((device) => this.#machine.devices.includes(device));
  }

  /** Their ids; what has none is left out. */
  get deviceIds(): readonly string[] {
    return this.devices.map(({ id }) => id).filter((id) => id !== undefined);
  }

  /** Power-on; a guest with `bootMs` 0 is up at once unless the VM starts paused. */
  start(): void {
    if ((this.#config.bootMs ?? 0) > 0 || !this.#machine.running) {
      this.reset();
      return;
    }
    this.#runFirmware();
    this.#becomeReady();
  }

  #runFirmware(): void {
    runFirmware(this.#machine);
    describeSlots(this.#machine);
  }

  reset(): void {
    this.#booted = false;
    this.#taken.clear();
    const { virtual } = this.#machine;
    virtual.after(FIRMWARE_MS, () => {
      this.#runFirmware();
    });
    const bootMs = this.#config.bootMs ?? 0;
    virtual.after(Math.max(FIRMWARE_MS + 1, bootMs === 0 ? DEFAULT_BOOT_MS : bootMs), () => {
      this.#becomeReady();
    });
  }

  /** The guest gives a device back on its own: eject button, driver, administrator. */
  eject(id: string): void {
    const device = this.#machine.find(id);
    if (device) this.#ejectNow(device);
  }

  get #answers(): boolean {
    return this.#booted && this.#config.answers !== false;
  }

  get #servesAcpi(): boolean {
    const { kind = 'linux' } = this.#config;
    return kind === 'linux' || kind === 'linux-acpi';
  }

  get #servesSlots(): boolean {
    const { kind = 'linux' } = this.#config;
    return kind === 'linux' || kind === 'linux-native';
  }

  /**
   * The operating system is up: it finds what is there and powers the slots that have a device. ACPI
   * events that came before are lost on it; what they told waits for the next.
   */
  #becomeReady(): void {
    if ((this.#config.kind ?? 'linux') === 'none') return;
    this.#booted = true;
    this.#note('operating system is up');
    for (const bus of this.#machine.buses) {
      for (const device of devicesOn(bus)) {
        if (!device.hotplugged || !isFound(device)) continue;
        const slot = this.#slotKey(device);
        const powered = bus.hotplug === 'acpi' || slotState(bus, slot).power === 'on';
        if (powered) this.#take(device, false);
        else this.slotEvent(bus, slot);
      }
    }
  }

  acpiEvent(): void {
    if (!this.#answers || !this.#servesAcpi) return;
    const some = this.#machine.buses.some(({ acpi }) => acpi.down.size > 0);
    this.#after(some ? ACPI_EJECTS : ACPI_TAKES, () => {
      this.#handleAcpi();
    });
  }

  /** One event makes Linux look at every slot of every bus. */
  #handleAcpi(): void {
    for (const { kind, bus, slot } of readAcpiEvent(this.#machine)) {
      if (kind === 'goes') acpiEject(this.#machine, bus, slot);
      else for (const device of this.#inSlot(bus, slot)) this.#take(device, true);
    }
  }

  slotEvent(bus: PciBus, slot: number): void {
    if (!this.#answers || !this.#servesSlots) return;
    this.#after(SLOT_REACTS, () => {
      const state = slotState(bus, slot);
      if (state.indicator === 'blinking') return;
      if (state.power === 'on') this.#powerOff(bus, slot);
      else if (this.#inSlot(bus, slot).length > 0) this.#powerOn(bus, slot);
    });
  }

  #powerOn(bus: PciBus, slot: number): void {
    const state = slotState(bus, slot);
    state.indicator = 'blinking';
    this.#after(SLOT_POWERS_ON, () => {
      state.power = 'on';
      state.indicator = 'on';
      for (const device of this.#inSlot(bus, slot)) this.#take(device, true);
    });
  }

  #powerOff(bus: PciBus, slot: number): void {
    slotState(bus, slot).indicator = 'blinking';
    this.#machine.virtual.after(BUTTON_WINDOW_MS, () => {
      this.#after(SLOT_POWERS_OFF, () => {
        slotUnplug(this.#machine, bus, slot);
      });
    });
  }

  #slotKey(device: PciDevice): number {
    return device.bus.hotplug === 'native' ? 0 : slotOf(device);
  }

  #inSlot(bus: PciBus, slot: number): readonly PciDevice[] {
    return devicesOn(bus).filter((device) => this.#slotKey(device) === slot && isFound(device));
  }

  #take(device: PciDevice, hotAdded: boolean): void {
    if (this.#taken.has(device)) return;
    this.#taken.add(device);
    if (this.#config.placesBars !== false) placeBars(device);
    this.#note(`uses ${device.id ?? device.path}`);
    if (!hotAdded) return;
    const { ejectsAfterMs } = this.#config;
    const fault = this.#faults.draw('guest', { vm: this.#machine.label, device: device.id });
    const afterMs = fault ? UNASKED_EJECT_MS : ejectsAfterMs;
    if (afterMs === undefined) return;
    this.#machine.virtual.after(afterMs, () => {
      this.#machine.loop.post(() => {
        this.#ejectNow(device);
      });
    });
  }

  #ejectNow(device: PciDevice): void {
    if (!this.#machine.devices.includes(device)) return;
    this.#note(`gives ${device.id ?? device.path} back unasked`);
    if (device.bus.hotplug === 'acpi') acpiEject(this.#machine, device.bus, slotOf(device));
    else if (device.bus.hotplug !== 'none') {
      slotUnplug(this.#machine, device.bus, this.#slotKey(device));
    }
  }

  /** Reacts within the range plus the guest's own slowness, in the VM's time and main loop. */
  #after([low, high]: readonly [number, number], action: () => void): void {
    const reactionMs = low + this.#machine.random.next() * (high - low);
    this.#machine.virtual.after(reactionMs + (this.#config.extraMs ?? 0), () => {
      this.#machine.loop.post(action);
    });
  }

  #note(text: string): void {
    this.#machine.trace.add(`guest:${this.#machine.label}`, text);
  }
}
