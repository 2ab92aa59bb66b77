import type { StateStore } from '../engine/state-store.js';
import { HostError, QmplugError, RefusedError } from '../errors.js';
import { HostIoError, type HostEffects } from '../host/effects.js';
import { readRecords, rememberReads } from '../host/inventory/index.js';
import { readHostSnapshot } from '../host/inventory.js';
import type { DesiredState, SetupHost } from '../host/setup/index.js';
import { selectDevice } from '../host/selector/index.js';
import type { HostSnapshot } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import type { VmSnapshot } from '../vm/types.js';
import type { Check, DeviceReads, HostReads, Profile } from './check.js';
import { fail, seen, unknownAnswer, warn, type Answer, type Finding } from './finding.js';
import { SUBJECTS } from './registry.js';
import { compileFilter, type CheckFilter } from './select-checks.js';

export interface DoctorRequest extends CheckFilter {
  readonly effects: HostEffects;
  /** Where reservations are kept. */
  readonly runtime?: StateStore | undefined;
  /** Where the journal of attachments and bindings is kept. */
  readonly state?: StateStore | undefined;
  /** The host's programs that show what is configured; without it that is unknown. */
  readonly setup?: SetupHost | undefined;
  /** What the host shall be like: what is wanted and missing then fails. */
  readonly desired?: DesiredState | undefined;
  /** Default false: nothing that wakes a sleeping device, or takes long, is read. */
  readonly deep?: boolean | undefined;
  /** A selector that means one PCI function. */
  readonly device?: string | undefined;
  readonly vm?: VmSnapshot | undefined;
  /** Default `hotplug`. */
  readonly profile?: Profile | undefined;
  /** Who stands for the VMM without a VM; default this process. */
  readonly selfPid?: number | undefined;
}

interface Patient {
  readonly host: HostReads;
  readonly vm: VmSnapshot | undefined;
  /** Undefined: no device was asked for. An answer: there is none, or it could not be told. */
  readonly device: DeviceReads | Missing | undefined;
}

/** No device to look at, and the check that says why. */
interface Missing {
  readonly missing: Answer;
  readonly toldBy: 'dev.exists' | 'dev.identity';
}

/**
 * Runs the checks that the request is for: those of the host, and of device, VM and pair where they are
 * named. Reads only. What cannot be read is `unknown`, never ok and never fail.
 *
 * @returns findings in the order of the registry.
 * @throws {InputError} for a filter or a selector that cannot be read.
 * @throws {RefusedError} for a selector that means more than one device.
 */
export async function runDoctor(request: DoctorRequest): Promise<readonly Finding[]> {
  const isWanted = compileFilter(request);
  const effects = rememberReads(request.effects);
  const { vm, profile = 'hotplug', selfPid = process.pid } = request;
  const vmPid = vm?.identity.kind === 'process' ? vm.identity.pid : undefined;
  const { deep = false, setup, desired, state, runtime } = request;
  const isQemu = vmPid !== undefined;
  const host: HostReads = {
    ...{ effects, profile, vmmPid: vmPid ?? selfPid, isQemu, vm: isQemu ? vm : undefined },
    ...{ deep, setup, desired, state, runtime },
  };
  const patient = { host, vm, device: await findDevice(request, host) };
  const findings: Finding[] = [];
  for (const { name, checks } of SUBJECTS) {
    for (const check of checks.filter(({ id }) => isWanted(id))) {
      const answer = await examine(check, patient);
      if (answer === undefined) continue;
      const { id, needs, needsRoot = false } = check;
      const ofDevice = needs === 'device' || needs === 'pair';
      const device =
        ofDevice && patient.device !== undefined && 'bdf' in patient.device
          ? patient.device.bdf
          : undefined;
      findings.push({ id, subject: name, ...answer, needsRoot, device });
    }
  }
  return findings;
}

/** Undefined where the check needs what was not named. */
async function examine(check: Check, patient: Patient): Promise<Answer | undefined> {
  const { host, vm, device } = patient;
  switch (check.needs) {
    case 'host':
      return settle(() => check.run(host));
    case 'device':
      if (device === undefined) return undefined;
      if ('missing' in device) return check.id === device.toldBy ? device.missing : undefined;
      return settle(() => check.run(device));
    case 'vm':
      return vm && (unproven(vm) ?? settle(() => check.run({ ...host, vm })));
    case 'pair':
      if (vm === undefined || device === undefined || 'missing' in device) return undefined;
      return unproven(vm) ?? settle(() => check.run({ ...device, vm }));
  }
}

/** A VM elsewhere has no process here to look at, and a host device cannot go to it. */
function unproven({ identity }: VmSnapshot): Answer | undefined {
  if (identity.kind === 'process') return undefined;
  return unknownAnswer(
    `no QEMU process of this host is proven to be behind ${identity.address}`,
    'use the unix socket of a QEMU on this host, or name its process with --qemu-pid',
  );
}

async function settle(run: () => Promise<Answer>): Promise<Answer> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof QmplugError)) throw error;
    const path = error instanceof HostIoError ? [seen(error.path, error.errno)] : [];
    return unknownAnswer(error.message, error.remedy, ...path);
  }
}

async function findDevice(request: DoctorRequest, host: HostReads): Promise<Patient['device']> {
  const { device, runtime, vm } = request;
  if (device === undefined) return undefined;
  const { effects } = host;
  try {
    const bdf = await selectDevice({ effects, runtime }, device, { guarded: false });
    const record = (await readRecords(effects, { only: (each) => each === bdf })).get(bdf);
    if (record === undefined) return gone(device, 'it left while the host was being looked at');
    const vmPid = vm?.identity.kind === 'process' ? vm.identity.pid : undefined;
    return deviceReads(host, { bdf, record, selector: device, vmPid });
  } catch (error) {
    if (error instanceof HostIoError) {
      const read = seen(error.path, error.errno);
      return {
        missing: unknownAnswer(error.message, error.remedy, read),
        toldBy: 'dev.exists',
      };
    }
    if (!(error instanceof RefusedError)) throw error;
    return explainRefusal(device, error);
  }
}

/** @throws the refusal, where it is about the selector and not about the device. */
function explainRefusal(device: string, error: RefusedError): Missing {
  const remedy = error.remedy ?? 'list what the host has: qmplug devices';
  const missing = (judge: typeof fail) => judge(error.message, remedy, seen(device, error.code));
  switch (error.code) {
    case 'NO_MATCH':
      return gone(device, error.message);
    case 'IDENTITY_CHANGED':
      return { missing: missing(fail), toldBy: 'dev.identity' };
    case 'MOVED':
      return { missing: missing(warn), toldBy: 'dev.identity' };
    default:
      throw error;
  }
}

function gone(device: string, why: string): Missing {
  const remedy = 'list what the host has: qmplug devices';
  return { missing: fail(why, remedy, seen(device, 'absent')), toldBy: 'dev.exists' };
}

function deviceReads(
  reads: HostReads,
  device: Pick<DeviceReads, 'bdf' | 'record' | 'selector' | 'vmPid'>,
): DeviceReads {
  const { bdf, record, selector, vmPid } = device;
  let look: Promise<HostSnapshot> | undefined;
  const host = () => (look ??= readHostSnapshot(reads.effects, { uses: [bdf], vmPid }));
  const found = async () => {
    const seenOf = (await host()).devices.get(bdf);
    if (seenOf === undefined) throw left(bdf);
    return seenOf;
  };
  return {
    ...reads,
    bdf,
    record,
    selector,
    vmPid,
    host,
    function: found,
    // A function that cannot be read is left out of the host, and so no guard has looked at it.
    uses: async () => {
      await found();
      return (await host()).uses.get(bdf) ?? [];
    },
  };
}

function left(bdf: Bdf): HostError {
  return new HostError('HOST_UNREADABLE', `${bdf} cannot be read, or has left`);
}
