import { QmpFailure } from './failure.js';
import type { Machine } from './machine.js';
import {
  devicesOn,
  functionZero,
  isPortBus,
  slotOf,
  type PciBus,
  type PciDevice,
  type SlotState,
} from './model.js';

/**
 * Hot-plug by slot registers: PCIe ports (hw/pci/pcie.c) and the standard hot-plug controller of
 * conventional bridges (hw/pci/shpc.c), which behave alike.
 */

/** The attention button's window of a port: a repeated request is refused for so long. */
const LATCH_MS = 5_000;
/** Slots that an SHPC serves. */
const SHPC_SLOTS = { first: 1, last: 31 };

const slotKey = (device: PciDevice) => (isPortBus(device.bus) ? 0 : slotOf(device));

export function slotState(bus: PciBus, slot: number): SlotState {
  let state = bus.slots.get(slot);
  if (state === undefined) {
    state = { power: 'off', indicator: 'off' };
    bus.slots.set(slot, state);
  }
  return state;
}

/** @throws {QmpFailure} for a slot the controller of a conventional bridge does not serve. */
export function checkSlot(bus: PciBus, slot: number): void {
  if (isPortBus(bus) || (slot >= SHPC_SLOTS.first && slot <= SHPC_SLOTS.last)) return;
  throw new QmpFailure(
    `Unsupported PCI slot ${slot} for standard hotplug controller. ` +
      `Valid slots are between ${SHPC_SLOTS.first} and ${SHPC_SLOTS.last}.`,
  );
}

/** The guest hears of a slot once its function 0 is there; other functions wait for it. */
export function slotPlug(machine: Machine, device: PciDevice): void {
  const { bus } = device;
  if (device.hotplugged && functionZero(bus, device.devfn)) {
    machine.guest?.slotEvent(bus, slotKey(device));
  }
}

/** @throws {QmpFailure} while the guest is switching the slot. */
export function slotRequestUnplug(machine: Machine, device: PciDevice): void {
  const { bus } = device;
  const slot = slotKey(device);
  const state = slotState(bus, slot);
  const port = isPortBus(bus);
  if (state.indicator === 'blinking' && (port || machine.release.shpcRefusesWhileBusy)) {
    throw new QmpFailure('Hot-unplug failed: guest is busy (power indicator blinking)');
  }
  if (port) device.unplugLatchMs = Math.floor(machine.virtual.now()) + LATCH_MS;
  if (!functionZero(bus, device.devfn)) {
    // A function the guest was never told of goes alone.
    machine.unparent([device]);
  } else if (state.power === 'off') {
    slotUnplug(machine, bus, slot);
  } else {
    machine.guest?.slotEvent(bus, slot);
  }
}

/** The slot has no power: everything in it goes; behind a PCIe port that is everything on the bus. */
export function slotUnplug(machine: Machine, bus: PciBus, slot: number): void {
  const going = devicesOn(bus).filter((device) => slotKey(device) === slot);
  const state = slotState(bus, slot);
  state.power = 'off';
  state.indicator = 'off';
  if (going.length > 0) machine.unparent(going);
}

/** A reset powers exactly the slots that have a device; a pending request is forgotten. */
export function slotReset(machine: Machine): void {
  for (const bus of machine.buses) {
    if (bus.hotplug !== 'native' && bus.hotplug !== 'shpc') continue;
    const present = new Set(
      devicesOn(bus)
        .filter((device) => functionZero(bus, device.devfn))
        .map(slotKey),
    );
    for (const slot of new Set([...bus.slots.keys(), ...present])) {
      const state = slotState(bus, slot);
      state.power = present.has(slot) ? 'on' : 'off';
      state.indicator = state.power;
    }
  }
}
