import { ifPresent, listOrNone } from '../../host/reading.js';
import {
  effectiveArgument,
  findArguments,
  type KernelArgument,
} from '../../host/setup/command-line.js';
import { IOMMU_OFF } from '../../host/setup/wants/iommu.js';
import type { DeviceCheck, HostCheck, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { isVirtual, isX86, readCpu, type Cpu } from '../read-cpu.js';
import { readCommandLine, readParameter } from '../read-module.js';
import { configuredVsRunning } from './boot-arguments.js';
import { firmwareChecks } from './iommu-firmware.js';
import { iommuType } from './iommu-type.js';

const GROUPS = '/sys/kernel/iommu_groups';
const UNITS = '/sys/class/iommu';

const ON: Readonly<Partial<Record<Cpu['kind'], string>>> = {
  intel: 'set intel_iommu=on on the kernel command line, and switch VT-d on in the firmware',
  amd: 'switch AMD-Vi (IOMMU) on in the firmware; remove amd_iommu=off and iommu=off from the kernel command line',
};

const IN_VM = 'its host has to give it an IOMMU first (QEMU: -device intel-iommu or amd-iommu)';

const active: HostCheck = {
  id: 'iommu.active',
  about: 'whether the kernel translates: IOMMU groups and units',
  needs: 'host',
  async run({ effects }) {
    const groups = (await listOrNone(effects, GROUPS)).length;
    const units = (await listOrNone(effects, UNITS)).length;
    const read = [seen(GROUPS, `${groups} groups`), seen(UNITS, `${units} units`)];
    if (groups > 0 && units > 0) return ok(`${groups} IOMMU groups`, ...read);
    const remedy = await remedyFor(effects);
    return groups === 0
      ? fail('there are no IOMMU groups, so VFIO can take nothing', remedy, ...read)
      : warn('there are groups, but no IOMMU that made them', remedy, ...read);
  },
};

/** A processor that cannot be told gets the advice for both. */
async function remedyFor(effects: Parameters<typeof readCpu>[0]): Promise<string> {
  const cpu = await readCpu(effects).catch(() => undefined);
  const both = 'switch VT-d or AMD-Vi on in the firmware, and on Intel boot with intel_iommu=on';
  if (cpu === undefined) return both;
  const here = ON[cpu.kind] ?? 'switch the IOMMU (SMMU) on in the firmware';
  return isVirtual(cpu) ? `${here}; this is a VM: ${IN_VM}` : here;
}

const cmdline: HostCheck = {
  id: 'iommu.cmdline',
  about: 'whether the kernel command line switches the IOMMU off, or says what has no effect',
  needs: 'host',
  async run({ effects }) {
    const line = await readCommandLine(effects);
    const off = Object.entries(IOMMU_OFF).flatMap(([key, values]) =>
      findArguments(line, key).filter(({ value = '' }) => partOf(value, values)),
    );
    const path = '/proc/cmdline';
    if (off[0] !== undefined) {
      const { text } = off[0];
      return fail(`${text} switches the IOMMU off`, `remove ${text}, and reboot`, seen(path, text));
    }
    const doubtful = doubtfulArgument(line);
    if (doubtful === undefined) return ok('nothing speaks against the IOMMU', seen(path, 'read'));
    const { text, why } = doubtful;
    return warn(why, `remove ${text} from the kernel command line`, seen(path, text));
  },
};

const partOf = (value: string, parts: readonly string[]) =>
  value.split(',').some((part) => parts.includes(part));

function doubtfulArgument(line: readonly KernelArgument[]) {
  const remapping = [
    ...findArguments(line, 'nointremap'),
    ...findArguments(line, 'intremap').filter(({ value }) => value === 'off'),
  ][0];
  if (remapping !== undefined) {
    return { text: remapping.text, why: `${remapping.text} switches interrupt remapping off` };
  }
  const useless = findArguments(line, 'amd_iommu').find(({ value }) => value === 'on');
  if (useless !== undefined) {
    return { text: useless.text, why: 'amd_iommu=on is no option of the kernel; it is ignored' };
  }
  for (const key of ['intel_iommu', 'amd_iommu', 'iommu.passthrough', 'iommu.strict']) {
    const values = new Set(findArguments(line, key).map(({ value }) => value));
    const last = effectiveArgument(line, key);
    if (values.size > 1 && last !== undefined) {
      return { text: `all but ${last.text}`, why: `${key} is given with several values` };
    }
  }
  return undefined;
}

const intremap: HostCheck = {
  id: 'iommu.intremap',
  about: 'on x86: whether interrupts are remapped',
  needs: 'host',
  async run({ effects }) {
    if (!isX86(await readCpu(effects))) return skip('only x86 needs it for VFIO');
    if ((await listOrNone(effects, GROUPS)).length === 0) return skip('there is no IOMMU');
    const path = '/proc/interrupts';
    if (/\bIR-/.test(await effects.read(path))) return ok('it is on', seen(path, 'IR-'));
    const unsafe = await readParameter(effects, 'vfio_iommu_type1', 'allow_unsafe_interrupts');
    const read = seen(path, 'no IR-');
    const remedy = 'switch interrupt remapping (x2APIC) on in the firmware; remove intremap=off';
    if (unsafe === undefined) return unknownAnswer('vfio_iommu_type1 is not loaded', remedy, read);
    return unsafe.on
      ? warn('absent, and allowed: a guest can forge interrupts', remedy, read, unsafe.evidence)
      : fail('absent: QEMU will not get an IOMMU container', remedy, read, unsafe.evidence);
  },
};

const unsafe: HostCheck = {
  id: 'iommu.unsafe',
  about: 'whether something pretends isolation that is not there',
  needs: 'host',
  async run({ effects, desired }) {
    const line = await readCommandLine(effects);
    const words = [
      ...findArguments(line, 'pcie_acs_override'),
      ...findArguments(line, 'pci').filter(({ value = '' }) => /disable_acs_redir/.test(value)),
    ].map(({ text }) => seen('/proc/cmdline', text));
    const parameters = await Promise.all([
      readParameter(effects, 'vfio_iommu_type1', 'allow_unsafe_interrupts'),
      readParameter(effects, 'vfio', 'enable_unsafe_noiommu_mode'),
    ]);
    const on = parameters.flatMap((each) => (each?.on ? [each.evidence] : []));
    const found = [...words, ...on];
    if (found.length === 0) return ok('nothing does', seen('/proc/cmdline', 'read'));
    const names = found.map(({ path, value }) =>
      path.startsWith('/sys') ? `${path.split('/')[3]}.${path.split('/')[5]}=${value}` : value,
    );
    // The desired state asks for isolation by name; else it is the operator's trade-off.
    const judge = desired?.isolation?.require === true ? fail : warn;
    const why = 'isolation is not what the groups say';
    return judge(why, `take back ${names.join(', ')}`, ...found);
  },
};

const rmrr: DeviceCheck = {
  id: 'iommu.rmrr',
  about: 'whether the firmware keeps memory mapped for the device',
  needs: 'device',
  async run({ effects, record }) {
    const { iommuGroup } = record;
    if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
    if (iommuGroup.value === undefined) return skip('the device is in no IOMMU group');
    const path = `${GROUPS}/${iommuGroup.value}/reserved_regions`;
    const text = await ifPresent(effects.read(path));
    if (text === undefined) return skip('the kernel does not tell', seen(path, 'absent'));
    const types = text.split('\n').map((line) => line.trim().split(/\s+/)[2]);
    const remedy = 'switch off in the firmware what needs it, or use another slot';
    if (types.includes('direct')) {
      return fail(
        'the firmware wants a 1:1 mapping: VFIO refuses it',
        remedy,
        seen(path, 'direct'),
      );
    }
    return types.includes('direct-relaxable')
      ? warn(
          'the firmware wants a 1:1 mapping, and loses it',
          remedy,
          seen(path, 'direct-relaxable'),
        )
      : ok('none', seen(path, 'no direct mapping'));
  },
};

export const iommuSubject: Subject = {
  name: 'IOMMU',
  checks: [
    ...firmwareChecks,
    active,
    cmdline,
    configuredVsRunning,
    iommuType,
    intremap,
    unsafe,
    rmrr,
  ],
};
