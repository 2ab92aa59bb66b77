import { RefusedError } from '../../errors.js';
import { excerpt } from '../../text.js';
import type { Machine, MachineProfile } from './profile.js';
import { pc } from './pc.js';
import { pseries } from './pseries.js';
import { q35 } from './q35.js';
import { s390Ccw } from './s390-ccw.js';
import { virtAarch64, virtRiscv64 } from './virt.js';

/** Every machine that qmplug can plug devices into. */
export const PROFILES: readonly MachineProfile[] = [
  q35,
  pc,
  virtAarch64,
  virtRiscv64,
  pseries,
  s390Ccw,
];

/** Machines that cannot be served, with the reason; anything else is merely not known. */
const REASONS: readonly { readonly type: RegExp; readonly reason: string }[] = [
  {
    type: /^microvm\b/,
    reason: 'a microvm has no PCI bus unless it was started with pcie=on, and no ACPI hot-plug',
  },
  { type: /^isapc\b/, reason: 'an ISA PC has no PCI bus' },
  { type: /^(none|x-remote)\b/, reason: 'it has no place for devices' },
  { type: /^xenfv|^xenpv/, reason: 'Xen passes devices through by itself, not by VFIO' },
];

/**
 * The profile of a running machine.
 *
 * @throws {RefusedError} `UNSUPPORTED_MACHINE` where there is none, with the reason.
 */
export function profileOf(machine: Machine): MachineProfile {
  const profile = PROFILES.find((candidate) => candidate.matches(machine));
  if (profile !== undefined) return profile;
  const name = excerpt(machine.type, 80);
  const arch = excerpt(machine.arch, 20);
  throw unsupported(machine.type, `${name} (${arch})`, { machineType: name, arch });
}

/**
 * The profile of a machine that is about to be started, by QEMU's `-machine` type with or without version.
 * What depends on the architecture alone (the two `virt`) has the same ports.
 *
 * @throws {RefusedError} `UNSUPPORTED_MACHINE` where there is none, with the reason.
 */
export function profileOfArgument(machine: string): MachineProfile {
  const profile = PROFILES.find((candidate) => candidate.matchesArgument(machine));
  if (profile !== undefined) return profile;
  const name = excerpt(machine, 80);
  throw unsupported(machine, name, { machine: name });
}

/** What was never seen to work on a machine that is about to be started, on whatever architecture. */
export function unprovenFor(machine: string): string | undefined {
  const meant = PROFILES.filter((candidate) => candidate.matchesArgument(machine));
  return meant.find(({ unproven }) => unproven !== undefined)?.unproven;
}

function unsupported(
  machine: string,
  shown: string,
  details: Readonly<Record<string, unknown>>,
): RefusedError {
  const supported = PROFILES.map((candidate) => candidate.name);
  const known = supported.join(', ');
  const reason =
    REASONS.find(({ type }) => type.test(machine))?.reason ??
    `its ports are not known (those of ${known} are)`;
  return new RefusedError('UNSUPPORTED_MACHINE', `Machine ${shown}: ${reason}`, {
    remedy: `start the VM with one of the machines ${known}`,
    details: { ...details, supported },
  });
}
