import { ifPresent } from '../../host/reading.js';
import { effectiveArgument } from '../../host/setup/command-line.js';
import { readSecureBoot } from '../../host/setup/read-facts.js';
import type { HostCheck, Subject } from '../check.js';
import { ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { isX86, readCpu } from '../read-cpu.js';
import { readCommandLine } from '../read-module.js';

const lockdown: HostCheck = {
  id: 'lockdown',
  about: 'whether the kernel is locked down',
  needs: 'host',
  async run({ effects }) {
    const path = '/sys/kernel/security/lockdown';
    const text = await ifPresent(effects.read(path));
    const level = /\[(\w+)\]/.exec(text ?? '')?.[1];
    if (level === undefined)
      return skip('the kernel has no lockdown', seen(path, text ?? 'absent'));
    const read = seen(path, text?.trim() ?? '');
    return level === 'none'
      ? ok('it is not', read)
      : warn(
          `${level}: no raw writes to devices, no unsigned modules; VFIO itself works`,
          'sign the modules that you need: mokutil --import KEY',
          read,
        );
  },
};

const secureBoot: HostCheck = {
  id: 'secureboot',
  about: 'whether Secure Boot asks for signed modules',
  needs: 'host',
  async run({ effects }) {
    const state = await readSecureBoot(effects);
    if (!state.known) return unknownAnswer(state.reason);
    const read = seen('/sys/firmware/efi', state.value ? 'Secure Boot is on' : 'off, or no EFI');
    return state.value
      ? warn(
          'modules from elsewhere need a signature',
          'enrol your key: mokutil --import KEY',
          read,
        )
      : ok('it does not', read);
  },
};

const splitLock: HostCheck = {
  id: 'split_lock',
  about: 'on x86: whether a guest with split locks is slowed down',
  needs: 'host',
  async run({ effects }) {
    const cpu = await readCpu(effects);
    if (!isX86(cpu)) return skip('only x86 has split locks');
    if (!cpu.flags.has('split_lock_detect')) return ok('the processor does not trap them');
    const set = effectiveArgument(await readCommandLine(effects), 'split_lock_detect');
    const read = [
      seen('/proc/cpuinfo', 'split_lock_detect'),
      seen('/proc/cmdline', set?.text ?? 'no split_lock_detect='),
    ];
    return set?.value === 'off'
      ? ok('the trap is off', ...read)
      : warn(
          'a guest that takes split locks is slowed down',
          'for such guests: set split_lock_detect=off on the kernel command line',
          ...read,
        );
  },
};

export const kernelSubject: Subject = { name: 'kernel', checks: [lockdown, secureBoot, splitLock] };
