import { isHotpluggable } from './acpi-hotplug.js';
import { deviceNotFound, QmpFailure } from './failure.js';
import { requestUnplug } from './hotplug.js';
import type { Machine } from './machine.js';
import type { PciDevice } from './model.js';
import { qomExists } from './qom.js';

/**
 * `device_del`: asks for the removal and returns. Source: qmp_device_del and qdev_unplug
 * (softmmu/qdev-monitor.c, 7.2).
 *
 * @throws {QmpFailure}
 */
export function deleteDevice(machine: Machine, id: string): PciDevice {
  const device = id.startsWith('/') ? machine.findByPath(id) : machine.find(id);
  if (device === undefined) {
    if (id === '' || qomExists(machine, id)) {
      throw new QmpFailure(
        id === '/machine/q35'
          ? "Bus 'main-system-bus' does not support hotplugging"
          : `${id} ${machine.release.notADevice}`,
      );
    }
    throw deviceNotFound(id);
  }
  if (isLatched(machine, device)) {
    throw new QmpFailure(`Device ${id} is already in the process of unplug`);
  }
  if (!isHotpluggable(machine, device.bus)) {
    throw new QmpFailure(`Bus '${device.bus.name}' does not support hotplugging`);
  }
  requestUnplug(machine, device);
  return device;
}

/** A latch of 0 was set before virtual time began and never ends. */
function isLatched(machine: Machine, { unplugLatchMs }: PciDevice): boolean {
  if (unplugLatchMs === undefined) return false;
  return unplugLatchMs === 0 || unplugLatchMs > Math.floor(machine.virtual.now());
}
