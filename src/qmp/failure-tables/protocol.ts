import type { FailureEntry } from '../failure-entry.js';
import { BUG } from './remedies.js';

/**
 * Error texts of the protocol itself, before a command is looked at.
 * Sources: QEMU 7.2.22 and 10.0.13 (run), 10.2.2 (read).
 */
export const PROTOCOL_FAILURES = [
  {
    text: 'JSON parse error, %s',
    kind: 'protocol',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: 'foreign bytes on the monitor: give qmplug a socket of its own',
  },
  {
    text: 'QMP input %s',
    kind: 'protocol',
    advice: 'reconcile',
    versions: '7.2-10.2',
    remedy: BUG,
  },
  {
    text: 'The command %s has not been found',
    class: 'CommandNotFound',
    kind: 'command-not-found',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'this QEMU is too old for the command or built without it',
  },
  {
    text: 'Command %s has been disabled%s',
    class: 'CommandNotFound',
    kind: 'command-not-found',
    advice: 'permanent',
    versions: '7.2-10.2',
  },
  {
    text: "The command '%s' is permitted only %s machine initialization has completed",
    kind: 'not-initialized',
    advice: 'after-window',
    versions: '7.2-10.2',
    remedy: 'QEMU waits in preconfig: let it go on (x-exit-preconfig)',
  },
  {
    text: "Property '%s.%s' doesn't take value '%s'",
    kind: 'bad-argument',
    advice: 'permanent',
    versions: '7.2-10.2',
  },
  {
    text: "Property '%s' not found",
    kind: 'property-not-found',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: 'this QEMU does not know the property: see device-list-properties',
  },
  {
    text: "Parameter 'driver' is missing",
    kind: 'bad-argument',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: BUG,
  },
  {
    text: "Parameter 'qom-type' does not accept value '%s'",
    kind: 'type-not-found',
    advice: 'permanent',
    versions: '7.2',
    remedy: 'iommufd needs QEMU 9.0 or later; attach by the legacy group',
  },
  { text: "Parameter '%s", kind: 'bad-argument', advice: 'permanent', versions: '7.2-10.2' },
  {
    text: "Invalid parameter type for '%s",
    kind: 'bad-argument',
    advice: 'permanent',
    versions: '7.2-10.2',
    remedy: BUG,
  },
] as const satisfies readonly FailureEntry[];
