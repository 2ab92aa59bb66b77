import type { FailureEntry } from '../failure-entry.js';

const OBJECTS = ['object-add', 'object-del'];

/**
 * Error texts of objects, QOM paths and types.
 * Sources: QEMU 7.2.22, 10.0.13 and 11.1.3 (run), 10.2.2 (read).
 */
export const OBJECT_FAILURES = [
  {
    text: "attempt to add duplicate property '%s' to object (type 'container')",
    commands: OBJECTS,
    kind: 'duplicate-id',
    advice: 'reconcile',
    versions: '7.2-10.2',
  },
  {
    text: "object '%s' not found",
    commands: OBJECTS,
    kind: 'object-not-found',
    advice: 'reconcile',
    versions: '7.2-10.2',
  },
  {
    text: "object '%s' is in use, can not be deleted",
    commands: OBJECTS,
    kind: 'object-in-use',
    advice: 'after-window',
    versions: '7.2-10.2',
    remedy: 'a device still uses it: wait until that is gone',
  },
  {
    text: "Can not delete IOMMUFD backend '%s' with %d users",
    commands: OBJECTS,
    kind: 'object-in-use',
    advice: 'after-window',
    versions: '11.1',
    remedy: 'a device still uses it: wait until that is gone',
  },
  {
    text: "Device '%s' not found",
    commands: ['qom-list', 'qom-get', 'qom-list-get'],
    class: 'DeviceNotFound',
    kind: 'path-not-found',
    advice: 'reconcile',
    versions: '7.2-10.0',
  },
  {
    text: '%s',
    commands: ['device-list-properties', 'qom-list-properties'],
    class: 'DeviceNotFound',
    kind: 'type-not-found',
    advice: 'permanent',
    versions: '7.2-10.2',
  },
  {
    text: "Device '%s' not found",
    kind: 'device-not-found',
    advice: 'reconcile',
    versions: '10.2',
  },
] as const satisfies readonly FailureEntry[];
