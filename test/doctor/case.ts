import type { Verdict } from '../../src/doctor/index.js';
import { aPort, aVm, QEMU } from '../support/snapshots.js';
import { DEVICE, type Change } from './patient.js';

/** What makes a check ok, bad and unknown. */
export interface Case {
  /** Default: the host as it is. */
  readonly ok?: Change;
  /** Undefined where nothing of it is bad: what it tells is for the reader. */
  readonly bad: (Change & { readonly verdict: 'warn' | 'fail' }) | undefined;
  /** Undefined where it reads nothing that could be kept from it. */
  readonly unknown: Change | undefined;
  /** Further verdicts, by what brings them about. */
  readonly also?: Readonly<Record<string, Change & { readonly verdict: Verdict }>>;
}

export const GIB = 1n << 30n;
export const path = (name: string) => `/sys/bus/pci/devices/${DEVICE}/${name}`;
export const cmdline = (text: string) => ({ '/proc/cmdline': `${text}\n` });
export const denied = (...paths: readonly string[]): Change => ({ denied: paths });
export const noFile = (...paths: readonly string[]) =>
  Object.fromEntries(paths.map((each) => [each, null]));

/** On a VM in QEMU's process that differs from the usual one. */
export const vmOf = (
  change: Parameters<typeof aVm>[2],
  ports = [aPort('rp0')],
  devices: Parameters<typeof aVm>[1] = [],
): Change => ({ request: { vm: aVm(ports, devices, { identity: QEMU, ...change }) } });
