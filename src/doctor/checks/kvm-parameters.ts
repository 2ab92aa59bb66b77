import { effectiveArgument } from '../../host/setup/command-line.js';
import { modprobeOption } from '../../host/setup/modprobe.js';
import type { HostCheck, HostReads } from '../check.js';
import { fail, ok, seen, skip, warn, type Answer, type Evidence } from '../finding.js';
import { readCommandLine, readModprobeLines, readParameter } from '../read-module.js';

const NO_PARAMETER = 'KVM is not loaded, or has no such parameter';

/**
 * Holds a running parameter to the desired state. Undefined where nothing is wanted, or all is as wanted. What
 * neither runs nor is configured anywhere fails: no reboot will bring it.
 */
async function judgeWish(
  { effects }: HostReads,
  module: string,
  parameter: string,
  {
    wanted,
    running,
  }: { wanted: boolean | undefined; running: { on: boolean; evidence: Evidence } },
): Promise<Answer | undefined> {
  if (wanted === undefined || wanted === running.on) return undefined;
  const key = `${module}.${parameter}`;
  const word = `${key}=${wanted ? '1' : '0'}`;
  const argument = effectiveArgument(await readCommandLine(effects), key);
  const option = modprobeOption(await readModprobeLines(effects), module, parameter);
  const isOn = (value: string | undefined) => /^[Yy1]$/.test(value ?? '');
  const configured = [argument?.value, option?.value].filter((value) => value !== undefined);
  const remedy = `set ${word} on the kernel command line; now: echo ${wanted ? 1 : 0} > ${running.evidence.path}`;
  const read = [
    running.evidence,
    seen('/proc/cmdline', argument?.text ?? `no ${key}=`),
    ...(option === undefined ? [] : [seen(option.path, `${parameter}=${option.value}`)]),
  ];
  return configured.some((value) => isOn(value) === wanted)
    ? warn(`${word} is configured, and does not run`, remedy, ...read)
    : fail(`${word} is wanted, and set nowhere`, remedy, ...read);
}

export const ignoreMsrs: HostCheck = {
  id: 'kvm.ignore_msrs',
  about: 'whether KVM hides accesses to registers that it does not know, unless that is wanted',
  needs: 'host',
  async run(reads) {
    const found = await readParameter(reads.effects, 'kvm', 'ignore_msrs');
    if (found === undefined) return skip(NO_PARAMETER);
    const wanted = reads.desired?.kvm?.ignoreMsrs;
    const answer = await judgeWish(reads, 'kvm', 'ignore_msrs', { wanted, running: found });
    if (answer !== undefined) return answer;
    return found.on && wanted !== true
      ? warn(
          'KVM ignores unknown registers, which hides faults of the guest',
          'unless a guest needs it: remove kvm.ignore_msrs=1 from the kernel arguments',
          found.evidence,
        )
      : ok(wanted ? 'as wanted' : 'unknown registers are told to the guest', found.evidence);
  },
};

export const reportIgnoredMsrs: HostCheck = {
  id: 'kvm.report_ignored_msrs',
  about: 'whether ignored registers flood the log',
  needs: 'host',
  async run(reads) {
    const ignore = await readParameter(reads.effects, 'kvm', 'ignore_msrs');
    const report = await readParameter(reads.effects, 'kvm', 'report_ignored_msrs');
    if (ignore === undefined || report === undefined) return skip(NO_PARAMETER);
    const wanted = reads.desired?.kvm?.reportIgnoredMsrs;
    const answer = await judgeWish(reads, 'kvm', 'report_ignored_msrs', {
      wanted,
      running: report,
    });
    if (answer !== undefined) return answer;
    return ignore.on && report.on && wanted !== true
      ? warn(
          'every ignored access is logged',
          'set kvm.report_ignored_msrs=0 on the kernel command line',
          ignore.evidence,
          report.evidence,
        )
      : ok('ignored accesses do not flood the log', report.evidence);
  },
};

export const kvmNested: HostCheck = {
  id: 'kvm.nested',
  about: 'whether guests can run virtual machines of their own, where that is wanted',
  needs: 'host',
  async run({ effects, desired }) {
    const here = await findNested(effects);
    if (here === undefined) return skip(NO_PARAMETER);
    const { module, found } = here;
    return desired?.kvm?.nested === true && !found.on
      ? warn(
          'it is wanted, and off',
          `set ${module}.nested=1 on the kernel command line, or options ${module} nested=1`,
          found.evidence,
        )
      : ok(found.on ? 'they can' : 'they cannot', found.evidence);
  },
};

/** The parameter of the module that runs: the vendor's on x86, elsewhere KVM's own. */
async function findNested(effects: HostReads['effects']) {
  for (const module of ['kvm_intel', 'kvm_amd', 'kvm']) {
    const found = await readParameter(effects, module, 'nested');
    if (found !== undefined) return { module, found };
  }
  return undefined;
}
