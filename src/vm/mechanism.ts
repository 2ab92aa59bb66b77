import { known, unknown, type Known } from '../known.js';
import { excerpt } from '../text.js';
import type { Reading } from './qom.js';
import type { HotplugMechanism } from './types.js';

/** What was read of a port's bus to tell how hot-plug reaches the guest. */
export interface MechanismReadings {
  /** QOM type of the bus's `hotplug-handler`; empty where it has none. */
  readonly handlerType: Reading<string>;
  /** Whether ACPI knows the bus: it has an `acpi-pcihp-bsel`. */
  readonly hasBsel: boolean;
  /** `hotplug` of the port's device; read only where the port is its own handler. */
  readonly portHotplug: Reading<boolean> | undefined;
  /** `acpi` of the machine: `auto`, `on` or `off`. */
  readonly machineAcpi: Reading<string>;
  /** How hot-plug reaches the guest where the machine sees to it on every bus. */
  readonly byMachine?: HotplugMechanism | undefined;
}

/** Owner of the handler -> mechanism. Seen with QEMU 7.2 and 10.0, on the machines in brackets. */
const HANDLERS: ReadonlyMap<string, HotplugMechanism> = new Map<string, HotplugMechanism>([
  ['ICH9-LPC', 'acpi'], // q35
  ['PIIX4_PM', 'acpi'], // pc
  ['acpi-ged', 'acpi'], // virt, from QEMU 10.1 on
  ['pcie-root-port', 'native'],
  ['ioh3420', 'native'],
  ['xio3130-downstream', 'native'],
  ['pci-bridge', 'shpc'],
  ['pcie-pci-bridge', 'shpc'],
  ['s390-pcihost', 'zpci'], // s390-ccw-virtio
  ['virtual-css-bridge', 'ccw'], // s390-ccw-virtio
  ['ap-bridge', 'ap'], // s390-ccw-virtio under KVM; hw/s390x/ap-bridge.c, not run
  ['spapr-pci-host-bridge', 'rtas'], // pseries
]);

/** How hot-plug on a bus reaches the guest; `none` where nothing can be plugged. */
export function mechanismOf(readings: MechanismReadings): Known<HotplugMechanism> {
  const { handlerType, hasBsel, portHotplug, machineAcpi } = readings;
  if (handlerType.kind === 'absent') return known('none');
  if (handlerType.kind === 'gone') return unknown('the hot-plug handler is gone');
  if (handlerType.kind === 'unreadable') return unknown(handlerType.reason);
  if (handlerType.value === '') return known('none');
  if (readings.byMachine !== undefined) return known(readings.byMachine);
  const mechanism = HANDLERS.get(handlerType.value);
  if (mechanism === undefined) {
    return unknown(`hot-plug handlers of type ${excerpt(handlerType.value, 80)} are not known`);
  }
  if (mechanism === 'acpi') return acpi(hasBsel, machineAcpi);
  if (mechanism === 'native') return native(portHotplug);
  return known(mechanism);
}

/** A port with hotplug=off has no bsel; with -machine acpi=off it has one, but the guest no ACPI. */
function acpi(hasBsel: boolean, machineAcpi: Reading<string>): Known<HotplugMechanism> {
  if (!hasBsel) return known('none');
  if (machineAcpi.kind !== 'value') return unknown('whether the machine has ACPI cannot be read');
  return known(machineAcpi.value === 'off' ? 'none' : 'acpi');
}

/** With hotplug=off the port stays its own handler and refuses only when asked (QEMU 7.2). */
function native(portHotplug: Reading<boolean> | undefined): Known<HotplugMechanism> {
  if (portHotplug?.kind !== 'value') {
    return unknown('whether the port takes hot-plug cannot be read');
  }
  return known(portHotplug.value ? 'native' : 'none');
}
