import { requireCapability } from '../../scripts/lab/capability.mjs';
import { bootGuest as boot, type Guest, type GuestOptions } from '../../scripts/lab/guest.mjs';
import { type Qemu, type QemuOptions, startQemu as start } from '../../scripts/lab/qemu.mjs';
import type { QemuProgram, QemuVersion } from '../../scripts/lab/qemu-versions.mjs';

export type { PciFunction, PciResource } from '../../scripts/lab/agent.mjs';
export { QEMU_VERSIONS } from '../../scripts/lab/qemu-versions.mjs';
export type { Guest, GuestOptions, Qemu, QemuOptions, QemuProgram, QemuVersion };

/**
 * A real QEMU without an operating system, ready in well under a second. `await using` ends it.
 *
 * @throws where QEMU is not installed, or refuses its arguments.
 */
export async function startQemu(options: QemuOptions = {}): Promise<Qemu> {
  if (options.firmware === 'ovmf') requireCapability('ovmf');
  requireCapability(options.version === undefined ? 'qemu' : 'versions');
  return start(options);
}

/**
 * A real QEMU with a Linux guest that lists its PCI devices; ready in about 5 s.
 *
 * @throws where the lab is not set up, or the guest does not come up.
 */
export async function bootGuest(options: GuestOptions = {}): Promise<Guest> {
  if (options.firmware === 'ovmf') requireCapability('ovmf');
  requireCapability('guest');
  if (options.version !== undefined) requireCapability('versions');
  return boot(options);
}

/** A root port for `startQemu` and `bootGuest`: `id` on pcie.0, device number `slot`. */
export function rootPort(id: string, slot: number): readonly string[] {
  const place = `bus=pcie.0,addr=${slot.toString(16)}.0`;
  return ['-device', `pcie-root-port,id=${id},chassis=${slot},slot=${slot},${place}`];
}
