import type { FailureEntry } from '../failure-entry.js';

const DELETE = ['device_del'];

/**
 * Error texts of `device_del`.
 * Sources: QEMU 7.2.22 and 10.0.13 (run), 10.2.2 (read).
 */
export const DEVICE_DEL_FAILURES = [
  {
    text: "Device '%s' not found",
    commands: DELETE,
    class: 'DeviceNotFound',
    kind: 'device-not-found',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: 'it is gone from the guest; its host side may still be held for a moment',
  },
  {
    text: '%s is not a device',
    commands: DELETE,
    kind: 'not-a-device',
    advice: 'permanent',
    versions: '7.2-10.2',
  },
  {
    text: 'Device %s is already in the process of unplug',
    commands: DELETE,
    kind: 'already-unplugging',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: 'the guest has been asked: wait for it',
  },
  {
    text: 'PCI device unplug already in progress for device %s',
    commands: DELETE,
    kind: 'already-unplugging',
    advice: 'reconcile',
    versions: '10.2',
    remedy: 'the guest has been asked: wait for it',
  },
  {
    text: 'Hot-unplug failed: guest is busy (power indicator blinking)',
    commands: DELETE,
    kind: 'guest-busy',
    advice: 'after-window',
    versions: '7.2-10.2',
    remedy: 'the guest is switching the slot: ask again after 6 s',
  },
  {
    text: 'PCI bridge hot unplug currently not supported',
    commands: DELETE,
    kind: 'not-removable',
    advice: 'permanent',
    versions: '7.2-10.2',
  },
  {
    text: 'PCI: Hot unplug of PCI bridges not supported',
    commands: DELETE,
    kind: 'not-removable',
    advice: 'permanent',
    versions: '10.2',
  },
] as const satisfies readonly FailureEntry[];
