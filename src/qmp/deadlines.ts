import type { AllowedCommand } from './allow-list.js';

/**
 * How long QEMU may take over each command, in milliseconds, counted from the moment when
 * nothing before it is in its way. Generous for reads, because QEMU runs all commands in its main
 * loop: a read on this monitor waits for a slow `device_add` on another.
 *
 * `device_add` of a first VFIO device pins all RAM of the guest (about 0.3 s per GiB not touched
 * yet) and resets the device: callers who know RAM and BARs pass a deadline of their own.
 */
export const COMMAND_DEADLINES_MS = {
  device_add: 30_000,
  device_del: 10_000,
  'device-sync-config': 10_000,
  'object-add': 10_000,
  'object-del': 10_000,
  'qom-list': 10_000,
  'qom-get': 10_000,
  'qom-list-get': 10_000,
  'qom-list-properties': 10_000,
  'device-list-properties': 10_000,
  'query-balloon': 10_000,
  'query-command-line-options': 10_000,
  'query-commands': 10_000,
  'query-fdsets': 10_000,
  'query-machines': 10_000,
  'query-memory-size-summary': 10_000,
  'query-migrate': 10_000,
  'query-name': 10_000,
  'query-pci': 10_000,
  'query-qmp-schema': 30_000,
  'query-status': 10_000,
  'query-target': 10_000,
  'query-uuid': 10_000,
  'query-version': 10_000,
  getfd: 10_000,
  closefd: 10_000,
  'add-fd': 10_000,
  'remove-fd': 10_000,
  system_reset: 10_000,
  stop: 10_000,
  cont: 10_000,
} as const satisfies Readonly<Record<AllowedCommand, number>>;
