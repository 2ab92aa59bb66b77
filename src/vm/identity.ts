import { createHash } from 'node:crypto';
import { HostError, InputError, RefusedError } from '../errors.js';
import { HostIoError, type HostEffects } from '../host/effects.js';
import { readProcess } from '../host/process.js';
import { isDenied, isMissing } from '../host/reading.js';
import { findSocketOwner, type SocketProcess } from '../host/sockets.js';
import { formatAddress, parseAddress, type QmpAddress } from '../qmp/address.js';
import { excerpt } from '../text.js';
import type { VmIdentity, VmKey } from './types.js';

export interface IdentifyOptions {
  /** `--qemu-pid`: the process that the operator vouches for. */
  readonly qemuPid?: number | undefined;
}

/**
 * Which VM a monitor belongs to. A unix socket leads to the process that listens on it, if that is a
 * VMM; a proxy in between is none. Every other address proves nothing without `qemuPid`.
 *
 * @param address any that `parseAddress` reads.
 * @throws {InputError} `BAD_ADDRESS`; `BAD_ARGUMENT` where `qemuPid` is no VMM, or not the one that listens.
 * @throws {RefusedError} `VM_GONE` where there is no process `qemuPid`.
 * @throws {HostError} `HOST_UNREADABLE` where a look failed that may succeed the next time: a VM that counted
 *   as its process then and as its address now would be two.
 */
export async function identifyVm(
  address: string,
  effects: HostEffects,
  { qemuPid }: IdentifyOptions = {},
): Promise<VmIdentity> {
  const parsed = parseAddress(address);
  const found = await findListener(effects, parsed);
  if (qemuPid !== undefined) return checkPid(effects, qemuPid, found);
  if ('process' in found) return identityOf(found.process);
  if ('failure' in found) throw unreadable(formatAddress(parsed), found.failure);
  return { kind: 'address', address: formatAddress(parsed), reason: found.reason };
}

/** Text that is equal exactly for one VM; letters, digits and dashes, at most 80 of them. */
export function vmKeyOf(identity: VmIdentity): VmKey {
  if (identity.kind === 'process') {
    const { bootId, pid, startTime } = identity;
    const text = `${bootId}-${pid}-${startTime}`;
    return /^[0-9a-f-]{1,40}-\d{1,10}-\d{1,20}$/.test(text) ? text : `process-${digest(text)}`;
  }
  return `address-${digest(identity.address)}`;
}

type Listener =
  | { readonly process: SocketProcess }
  | { readonly reason: string }
  /** Whoever listens may well be told the next time. */
  | { readonly reason: string; readonly failure: HostIoError };

async function findListener(effects: HostEffects, address: QmpAddress): Promise<Listener> {
  if (address.kind !== 'unix') {
    return { reason: `${formatAddress(address)} is not a unix socket of this host` };
  }
  const owner = await findSocketOwner(effects, address.path);
  switch (owner.kind) {
    case 'one': {
      const { process } = owner;
      if (await isVmm(effects, process)) return { process };
      return {
        reason: `process ${process.pid} (${excerpt(process.command)}) listens there, and is no QEMU`,
      };
    }
    case 'several':
      return {
        reason: `processes ${owner.processes.map(({ pid }) => pid).join(', ')} all listen there`,
      };
    case 'none':
    case 'unknown':
      return { reason: owner.reason };
    case 'unreadable':
      return { reason: owner.failure.message, failure: owner.failure };
  }
}

async function checkPid(effects: HostEffects, pid: number, found: Listener): Promise<VmIdentity> {
  const details = { pid };
  if ('process' in found && found.process.pid !== pid) {
    throw new InputError(
      'BAD_ARGUMENT',
      `The monitor belongs to process ${found.process.pid} (${excerpt(found.process.command)}), not to ${pid}`,
      { remedy: `leave --qemu-pid out, or give ${found.process.pid}`, details },
    );
  }
  const process = await readProcess(effects, pid);
  if (process === undefined) {
    throw new RefusedError('VM_GONE', `There is no process ${pid}`, {
      remedy: 'give the pid of the running QEMU',
      details,
    });
  }
  if (await isVmm(effects, process)) return identityOf(process);
  throw new InputError('BAD_ARGUMENT', `Process ${pid} (${excerpt(process.command)}) is no QEMU`, {
    remedy: 'give the pid of the running QEMU',
    details,
  });
}

/** Names of QEMU's programs (`qemu-kvm` and `kvm` in distributions), and of what speaks QMP like it. */
const VMM = /^(qemu|kvm$|stratovirt)/;

/**
 * Whether a process is a VMM, by its program or its name. `-name process=` changes the name; the
 * program of another user's process cannot always be read.
 */
async function isVmm(effects: HostEffects, { pid, command }: SocketProcess): Promise<boolean> {
  if (VMM.test(command)) return true;
  try {
    const program = await effects.readlink(`/proc/${pid}/exe`);
    return VMM.test(program.slice(program.lastIndexOf('/') + 1));
  } catch (error) {
    if (isMissing(error) || isDenied(error)) return false;
    throw error instanceof HostIoError ? unreadable(`process ${pid}`, error) : error;
  }
}

function unreadable(subject: string, cause: HostIoError): HostError {
  const { path, errno, message } = cause;
  return new HostError('HOST_UNREADABLE', `${subject}: which VM it is cannot be told: ${message}`, {
    cause,
    remedy: 'ask again; if it stays so, name the QEMU process: --qemu-pid PID',
    details: { subject, path, errno },
  });
}

function identityOf({ bootId, pid, startTime, pidNamespace }: SocketProcess): VmIdentity {
  return { kind: 'process', bootId, pid, startTime, pidNamespace };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
