import { ifPresent } from '../../host/reading.js';
import { effectiveArgument } from '../../host/setup/command-line.js';
import { readSecureBoot } from '../../host/setup/read-facts.js';
import type { HostCheck, HostReads, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn, type Evidence } from '../finding.js';
import { isX86, readCpu } from '../read-cpu.js';
import { isWanted, readSignature, readSizes } from '../read-kvmfr.js';
import { readCommandLine } from '../read-module.js';
import { kernelVersion } from './kernel-version.js';

const ENROL = 'sign the modules that you need, and enrol the key: mokutil --import KEY';

/** Where kvmfr is wanted and proven to be without a signature. */
async function findUnsigned(reads: HostReads): Promise<Evidence | undefined> {
  if (!isWanted(await readSizes(reads))) return undefined;
  const { state, read } = await readSignature(reads);
  return state === 'unsigned' ? read : undefined;
}

const lockdown: HostCheck = {
  id: 'lockdown',
  about: 'whether the kernel is locked down',
  needs: 'host',
  async run(reads) {
    const { effects } = reads;
    const path = '/sys/kernel/security/lockdown';
    const text = await ifPresent(effects.read(path));
    const level = /\[(\w+)\]/.exec(text ?? '')?.[1];
    if (level === undefined)
      return skip('the kernel has no lockdown', seen(path, text ?? 'absent'));
    const read = seen(path, text?.trim() ?? '');
    if (level === 'none') return ok('it is not', read);
    const unsigned = await findUnsigned(reads);
    return unsigned !== undefined
      ? fail(`${level}: the kernel refuses the unsigned kvmfr`, ENROL, read, unsigned)
      : warn(
          `${level}: no raw writes to devices, no unsigned modules; VFIO itself works`,
          ENROL,
          read,
        );
  },
};

const secureBoot: HostCheck = {
  id: 'secureboot',
  about: 'whether Secure Boot asks for signed modules',
  needs: 'host',
  async run(reads) {
    const state = await readSecureBoot(reads.effects);
    if (!state.known) return unknownAnswer(state.reason);
    const read = seen('/sys/firmware/efi', state.value ? 'Secure Boot is on' : 'off, or no EFI');
    if (!state.value) return ok('it does not', read);
    const unsigned = await findUnsigned(reads);
    return unsigned === undefined
      ? warn('modules from elsewhere need a signature', ENROL, read)
      : fail('kvmfr has no signature, and cannot be loaded', ENROL, read, unsigned);
  },
};

const splitLock: HostCheck = {
  id: 'split_lock',
  about: 'on x86: whether a guest with split locks is slowed down',
  needs: 'host',
  async run({ effects, desired }) {
    const cpu = await readCpu(effects);
    if (!isX86(cpu)) return skip('only x86 has split locks');
    if (!cpu.flags.has('split_lock_detect')) return ok('the processor does not trap them');
    const set = effectiveArgument(await readCommandLine(effects), 'split_lock_detect');
    const read = [
      seen('/proc/cpuinfo', 'split_lock_detect'),
      seen('/proc/cmdline', set?.text ?? 'no split_lock_detect='),
    ];
    if (set?.value === 'off') return ok('the trap is off', ...read);
    const isWantedOff = desired?.kvmfr?.splitLockDetectOff === true;
    const judge = isWantedOff ? fail : warn;
    return judge(
      `a guest that takes split locks is slowed down${isWantedOff ? ', which is not wanted' : ''}`,
      'for such guests: set split_lock_detect=off on the kernel command line',
      ...read,
    );
  },
};

export const kernelSubject: Subject = {
  name: 'kernel',
  checks: [kernelVersion, lockdown, secureBoot, splitLock],
};
