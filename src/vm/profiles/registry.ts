import { RefusedError } from '../../errors.js';
import { excerpt } from '../../text.js';
import type { Machine, MachineProfile } from './profile.js';
import { q35 } from './q35.js';

/** Every machine that qmplug can plug devices into. */
export const PROFILES: readonly MachineProfile[] = [q35];

/** Machines that cannot be served, with the reason; anything else is merely not known. */
const REASONS: readonly { readonly type: RegExp; readonly reason: string }[] = [
  {
    type: /^microvm-machine$/,
    reason: 'a microvm has no PCI bus unless it was started with pcie=on, and no ACPI hot-plug',
  },
  { type: /^isapc-machine$/, reason: 'an ISA PC has no PCI bus' },
  { type: /^(none|x-remote)-machine$/, reason: 'it has no place for devices' },
  { type: /^xenfv|^xenpv/, reason: 'Xen passes devices through by itself, not by VFIO' },
];

/**
 * The profile of a machine.
 *
 * @throws {RefusedError} `UNSUPPORTED_MACHINE` where there is none, with the reason.
 */
export function profileOf(machine: Machine): MachineProfile {
  const profile = PROFILES.find((candidate) => candidate.matches(machine));
  if (profile !== undefined) return profile;
  const name = excerpt(machine.type, 80);
  const arch = excerpt(machine.arch, 20);
  const known = PROFILES.map((candidate) => candidate.name).join(', ');
  const reason =
    REASONS.find(({ type }) => type.test(machine.type))?.reason ??
    `its ports are not known (those of ${known} are)`;
  throw new RefusedError('UNSUPPORTED_MACHINE', `Machine ${name} (${arch}): ${reason}`, {
    remedy: `start the VM with one of the machines ${known}`,
    details: { machineType: name, arch, supported: PROFILES.map((candidate) => candidate.name) },
  });
}
