import type { FailureEntry } from '../failure-entry.js';
import { OTHER_PORT, REREAD, WAIT_MIGRATION } from './remedies.js';

const ADD = ['device_add'];

/**
 * Error texts of `device_add`: driver, bus, migration, id.
 * Sources: QEMU 7.2.22 and 10.0.13 (run), 10.2.2 (read).
 */
export const DEVICE_ADD_FAILURES = [
  {
    text: "'%s' is not a valid device model name",
    commands: ADD,
    kind: 'type-not-found',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'this QEMU binary does not have the device: install its full build',
  },
  {
    text: "Bus '%s' not found",
    commands: ADD,
    kind: 'bus-not-found',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: REREAD,
  },
  {
    text: "Device '%s' has no child bus",
    commands: ADD,
    kind: 'bus-not-found',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: REREAD,
  },
  {
    text: "Device '%s' not found",
    commands: ADD,
    class: 'DeviceNotFound',
    kind: 'reference-not-found',
    advice: 'reconcile',
    versions: '9.0-10.2',
    remedy: 'the iommufd object or the bus that the device names is not there',
  },
  {
    text: "Bus '%s' is full",
    commands: ADD,
    kind: 'bus-full',
    advice: 'permanent',
    versions: '10.2',
    remedy: OTHER_PORT,
  },
  {
    text: "A '%s' bus was found but is full",
    commands: ADD,
    kind: 'bus-full',
    advice: 'permanent',
    versions: '10.2',
    remedy: 'detach the device that holds the bus; a VM has one vfio-ap device at most',
  },
  {
    text: "Device '%s' can't go on %s bus",
    commands: ADD,
    kind: 'wrong-bus',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: OTHER_PORT,
  },
  {
    text: "No '%s' bus found for device '%s'",
    commands: ADD,
    kind: 'wrong-bus',
    advice: 'permanent',
    versions: '7.2-10.0',
    remedy: 'the machine has no such bus',
  },
  {
    text: '%s not allowed while migrating',
    kind: 'migrating',
    advice: 'after-window',
    versions: '7.2-10.2',
    remedy: WAIT_MIGRATION,
  },
  {
    text: "Device '%s' does not support hotplugging",
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'give the device on the command line of QEMU',
  },
  {
    text: "Bus '%s' does not support hotplugging",
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'use a root port, downstream port or bridge made at boot: qmplug boot-args',
  },
  {
    text: "Device '%s' can not be hotplugged on this machine",
    kind: 'not-hotpluggable',
    advice: 'permanent',
    versions: '10.2',
  },
  {
    text: "Duplicate ID '%s' for device",
    commands: ADD,
    kind: 'duplicate-id',
    advice: 'reconcile',
    versions: '5.2',
    remedy: 'an earlier attempt may have succeeded: qmplug status',
  },
  {
    text: "Duplicate device ID '%s'",
    commands: ADD,
    kind: 'duplicate-id',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: 'an earlier attempt may have succeeded: qmplug status',
  },
] as const satisfies readonly FailureEntry[];
