import type { HostEffects } from '../host/effects.js';
import type { StateStore } from '../engine/state-store.js';
import type { DeviceRecord } from '../host/inventory/index.js';
import type { DesiredState, SetupHost } from '../host/setup/index.js';
import type { HostDevice, HostSnapshot, UseFinding } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import type { VmSnapshot } from '../vm/types.js';
import type { Answer } from './finding.js';

/**
 * How a device is to come into the VM. `static` gives it when the VM is started, and so tolerates what only a
 * hot-plug needs: free ports and windows.
 */
export type Profile = 'hotplug' | 'static';

/** What every check reads through; each file is read once for all of them. */
export interface HostReads {
  readonly effects: HostEffects;
  readonly profile: Profile;
  /** Process that stands for the VMM: QEMU of the VM, or else whoever asks. */
  readonly vmmPid: number;
  /** Whether that is QEMU itself. */
  readonly isQemu: boolean;
  /** The VM, where it is proven to run here. */
  readonly vm: VmSnapshot | undefined;
  /** Whether what wakes a sleeping device, or is slow, may be read. */
  readonly deep: boolean;
  /** Programs of the host that only show something; undefined where a tree stands in for the host. */
  readonly setup: SetupHost | undefined;
  /** What the host shall be like, where somebody says. */
  readonly desired: DesiredState | undefined;
  /** Where the journal of attachments and bindings is kept. */
  readonly state: StateStore | undefined;
  /** Where reservations are kept. */
  readonly runtime: StateStore | undefined;
}

export interface DeviceReads extends HostReads {
  readonly bdf: Bdf;
  readonly record: DeviceRecord;
  /** The selector by which it was named. */
  readonly selector: string;
  /** QEMU of the VM, where it is proven to run here: what it holds is no foreign use. */
  readonly vmPid: number | undefined;
  /** All functions and groups, with uses and holders of this one. @throws {HostError} */
  readonly host: () => Promise<HostSnapshot>;
  /** This function in `host`. @throws {HostError} */
  readonly function: () => Promise<HostDevice>;
  readonly uses: () => Promise<readonly UseFinding[]>;
}

export interface VmReads extends HostReads {
  readonly vm: VmSnapshot;
}

export type PairReads = DeviceReads & VmReads;

interface CheckOf<Needs extends string, Reads> {
  /** Stable: what `--only` and `--skip` name. */
  readonly id: string;
  /** What it asks, for the documentation. */
  readonly about: string;
  readonly needs: Needs;
  /** Default false. */
  readonly needsRoot?: boolean;
  /** A `QmplugError` that it throws, for what it could not read, becomes `unknown`. */
  run(reads: Reads): Promise<Answer>;
}

export type HostCheck = CheckOf<'host', HostReads>;
export type DeviceCheck = CheckOf<'device', DeviceReads>;
export type VmCheck = CheckOf<'vm', VmReads>;
export type PairCheck = CheckOf<'pair', PairReads>;
export type Check = HostCheck | DeviceCheck | VmCheck | PairCheck;

/** Checks of one subject, in the order in which they are told. */
export interface Subject {
  readonly name: string;
  readonly checks: readonly Check[];
}
