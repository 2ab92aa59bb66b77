import type { FailureEntry } from '../failure-entry.js';
import { OTHER_PORT, REREAD } from './remedies.js';

const ADD = ['device_add'];

/**
 * Error texts of ports and slots, from `device_add` and `device_del`.
 * Sources: QEMU 7.2.22 and 10.0.13 (run), 10.2.2 (read).
 */
export const PORT_FAILURES = [
  {
    text: "Hot-plug failed: unsupported by the port device '%s'",
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '10.2',
    remedy: OTHER_PORT,
  },
  {
    text: "Hot-unplug failed: unsupported by the port device '%s'",
    kind: 'not-removable',
    advice: 'permanent',
    versions: '10.2',
  },
  {
    text: "Unsupported bus. Bus doesn't have property 'acpi-pcihp-bsel' set",
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'ACPI hot-plug knows only the bridges of the boot: use a port made at boot',
  },
  {
    text: 'slot is electromechanically locked%s',
    kind: 'guest-busy',
    advice: 'after-window',
    versions: '10.2',
  },
  {
    text: 'PCI: slot %d function %d not available for %s, in use by %s',
    commands: ADD,
    kind: 'slot-occupied',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: REREAD,
  },
  {
    text: 'PCI: slot %d function %d not available for %s, reserved',
    commands: ADD,
    kind: 'slot-occupied',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: OTHER_PORT,
  },
  {
    text: 'PCI: slot %d function 0 already occupied by %s, new func %s cannot be exposed to guest.',
    commands: ADD,
    kind: 'slot-occupied',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: REREAD,
  },
  {
    text: 'PCI: no slot/function available for %s, all in use or reserved',
    commands: ADD,
    kind: 'bus-full',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: OTHER_PORT,
  },
  {
    text: 'PCI: Only PCI/PCIe bridges can be plugged into %s',
    commands: ADD,
    kind: 'wrong-bus',
    advice: 'permanent',
    versions: '10.2',
    remedy: OTHER_PORT,
  },
  {
    text: "PCI: single function device can't be populated in function %s",
    commands: ADD,
    kind: 'multifunction',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'function 0 needs multifunction=true',
  },
  {
    text: 'PCI: %s indicates single function, but %s is already populated.',
    commands: ADD,
    kind: 'multifunction',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'function 0 needs multifunction=true',
  },
  {
    text: 'multifunction not supported in s390',
    commands: ADD,
    kind: 'multifunction',
    advice: 'permanent',
    versions: '7.2',
    remedy: 'attach each function by itself',
  },
  {
    text: 'Unsupported PCI slot %d for standard hotplug controller%s',
    commands: ADD,
    kind: 'wrong-slot',
    advice: 'permanent',
    versions: '10.0-10.2',
    remedy: 'SHPC bridges take slots 1 to 31',
  },
  {
    text: 'standard hotplug controller has been disabled for this %s',
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '10.2',
    remedy: OTHER_PORT,
  },
  {
    text: 'a PCI device with acpi-index = %d already exist',
    commands: ADD,
    kind: 'index-taken',
    advice: 'permanent',
    versions: '10.2',
    remedy: 'choose another acpi-index',
  },
  {
    text: "Can't add chassis slot, error %s",
    commands: ADD,
    kind: 'index-taken',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'give every port its own pair of chassis and slot',
  },
] as const satisfies readonly FailureEntry[];
