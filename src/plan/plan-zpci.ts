import { InputError, RefusedError } from '../errors.js';
import type { VmSnapshot, ZpciFunction } from '../vm/types.js';
import type { ZpciNumbers } from './request.js';
import type { AddZpci } from './steps.js';

const MAX_UID = 0xffff;
const MAX_FID = 0xffff_ffff;

/**
 * The partner for a PCI device of an s390x VM, where its numbers are asked for. Without it QEMU makes one by
 * itself, which is better: that one never outlives a failed attach.
 *
 * @param target id of the PCI device.
 * @throws {InputError} `BAD_ARGUMENT` for numbers out of range, or on another machine.
 * @throws {RefusedError} `ID_TAKEN` where a number is another device's.
 */
export function planZpci(
  { channels, devices }: VmSnapshot,
  target: string,
  wanted: ZpciNumbers | undefined,
): readonly AddZpci[] {
  if (wanted === undefined) return [];
  checkNumbers(wanted);
  if (channels === undefined) {
    throw new InputError('BAD_ARGUMENT', 'Only an s390x VM knows PCI devices by uid and fid', {
      remedy: 'leave --zpci-uid and --zpci-fid out',
    });
  }
  const { uid, fid } = wanted;
  const leftOver = channels.zpci.find((zpci) => zpci.target === target);
  if (leftOver !== undefined) return reuse(leftOver, wanted);
  const holder = channels.zpci.find((zpci) => zpci.uid === uid || zpci.fid === fid);
  if (holder !== undefined) throw taken(holder, target);
  const id = `zpci_${target}`;
  const namesake = devices.find((device) => device.id === id);
  if (namesake !== undefined) {
    throw new RefusedError('ID_TAKEN', `The VM already has a device ${id}, a ${namesake.type}`, {
      remedy: `attach ${target} under another id, or without uid and fid`,
      details: { id, type: namesake.type, path: namesake.path },
    });
  }
  return [{ kind: 'AddZpci', id, target, uid, fid }];
}

/** What an attach that failed has left behind is for this device, with the numbers that it has. */
function reuse(leftOver: ZpciFunction, { uid, fid }: ZpciNumbers): readonly AddZpci[] {
  const same = (wanted: number | undefined, has: number) => wanted === undefined || wanted === has;
  if (same(uid, leftOver.uid) && same(fid, leftOver.fid)) return [];
  throw new RefusedError(
    'ID_TAKEN',
    `${leftOver.target} has a zpci with uid ${leftOver.uid} and fid ${leftOver.fid} already, until the VM ends`,
    {
      remedy: `ask for these numbers: --zpci-uid ${leftOver.uid} --zpci-fid ${leftOver.fid}`,
      details: { id: leftOver.id ?? null, uid: leftOver.uid, fid: leftOver.fid },
    },
  );
}

function taken({ uid, fid, target }: ZpciFunction, wanting: string): RefusedError {
  return new RefusedError(
    'ID_TAKEN',
    `${wanting}: uid ${uid} and fid ${fid} are those of ${target}`,
    {
      remedy: 'choose other numbers, or leave them to QEMU',
      details: { uid, fid, target },
    },
  );
}

/** uid 0 means "any" to QEMU, so it cannot be asked for (hw/s390x/s390-pci-bus.c, 7.2). */
function checkNumbers({ uid, fid }: ZpciNumbers): void {
  const isWithin = (value: number, low: number, high: number) =>
    Number.isInteger(value) && value >= low && value <= high;
  if (uid !== undefined && !isWithin(uid, 1, MAX_UID)) {
    throw new InputError('BAD_ARGUMENT', `A uid must be 1 to ${MAX_UID}; got ${uid}`);
  }
  if (fid !== undefined && !isWithin(fid, 0, MAX_FID)) {
    throw new InputError('BAD_ARGUMENT', `A fid must be 0 to ${MAX_FID}; got ${fid}`);
  }
}
