import {
  acpiPlug,
  acpiRequestUnplug,
  acpiReset,
  assignBsels,
  hotplugOf,
  isClosed,
} from './acpi-hotplug.js';
import { QmpFailure } from './failure.js';
import type { Machine } from './machine.js';
import type { PciBus, PciDevice } from './model.js';
import { checkSlot, slotPlug, slotRequestUnplug, slotReset } from './slot-hotplug.js';

const UNKNOWN_TO_ACPI = "Unsupported bus. Bus doesn't have property 'acpi-pcihp-bsel' set";

/** Before the device is realized. @throws {QmpFailure} */
export function prePlug(bus: PciBus): void {
  if (isSwitchedOff(bus)) {
    throw new QmpFailure(
      `Hot-plug failed: unsupported by the port device '${bus.bridge?.id ?? ''}'`,
    );
  }
}

/** After the device is realized, as part of plugging it. @throws {QmpFailure} */
export function checkPlug({ bus, devfn }: PciDevice): void {
  if (bus.hotplug === 'shpc') checkSlot(bus, devfn >> 3);
}

/** After the device is realized: the guest is told. */
export function plug(machine: Machine, device: PciDevice): void {
  switch (device.bus.hotplug) {
    case 'acpi':
      return acpiPlug(machine, device);
    case 'native':
    case 'shpc':
      return slotPlug(machine, device);
    case 'at-once':
    case 'none':
      return;
  }
}

/** What `device_del` and the host's own device request come down to. @throws {QmpFailure} */
export function requestUnplug(machine: Machine, device: PciDevice): void {
  const { bus } = device;
  machine.trace.add(`qemu:${machine.label}`, `unplug of ${device.path} requested`);
  switch (bus.hotplug) {
    case 'acpi':
      if (bus.bsel === undefined) throw new QmpFailure(UNKNOWN_TO_ACPI);
      return acpiRequestUnplug(machine, device);
    case 'native':
    case 'shpc':
      if (isSwitchedOff(bus)) {
        throw new QmpFailure(
          `Hot-unplug failed: unsupported by the port device '${bus.bridge?.id ?? ''}'`,
        );
      }
      return slotRequestUnplug(machine, device);
    case 'at-once':
      // The guest is not asked (measured with QEMU 7.2.22 on channel devices).
      machine.unparent([device]);
      return;
    case 'none':
      throw new QmpFailure(`Bus '${bus.name}' does not support hotplugging`);
  }
}

/** A port with `hotplug=off`, which only its own registers know where ACPI is not in charge. */
function isSwitchedOff(bus: PciBus): boolean {
  return bus.hotplug === 'native' && isClosed(bus);
}

/**
 * A machine is complete: its buses get their hot-plug mechanism, ACPI its numbers, and the slots with
 * a device their power.
 */
export function settleHotplug(machine: Machine): void {
  const mode = machine.config.hotplug ?? 'acpi';
  for (const bus of machine.buses) bus.hotplug = hotplugOf(bus, mode);
  if (mode === 'acpi') assignBsels(machine);
  slotReset(machine);
}

/** `system_reset`, or a reset by the guest itself. */
export function resetMachine(machine: Machine, guestInitiated: boolean): void {
  const reason = guestInitiated ? 'guest-reset' : 'host-qmp-system-reset';
  const ranBefore = machine.dirty;
  acpiReset(machine);
  slotReset(machine);
  machine.resetRegisters();
  machine.emit('RESET', { guest: guestInitiated, reason });
  machine.wasReset();
  machine.guest?.reset();
  // SeaBIOS, finding that it ran before, resets the machine once more.
  if (!guestInitiated && ranBefore) {
    machine.virtual.after(SEABIOS_REBOOT_MS, () => {
      machine.loop.post(() => {
        resetMachine(machine, true);
      });
    });
  }
}

/** Measured on QEMU 7.2.22: 40-70 ms after the host's reset. */
const SEABIOS_REBOOT_MS = 50;
