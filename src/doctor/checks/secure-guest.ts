import { effectiveArgument } from '../../host/setup/command-line.js';
import { exists, readAttribute } from '../../host/reading.js';
import type { HostCheck, HostReads } from '../check.js';
import { ok, seen, skip, warn, type Answer } from '../finding.js';
import { readCpu } from '../read-cpu.js';
import { readCommandLine, readParameter } from '../read-module.js';

/** Linux arch/s390/kernel/uv.c, uv_query_facilities (6.12). */
const PROT_VIRT = '/sys/firmware/uv/prot_virt_host';
const SEV = '/dev/sev';

export const secureGuest: HostCheck = {
  id: 'host.secure_guest',
  about: 'whether the host can run guests whose memory it cannot read, where it is asked to',
  needs: 'host',
  async run(reads) {
    const { kind } = await readCpu(reads.effects);
    if (kind === 's390') return judgeS390(reads);
    if (kind === 'amd') return judgeAmd(reads);
    return skip('neither s390x nor AMD: nothing to tell');
  },
};

async function judgeS390({ effects }: HostReads): Promise<Answer> {
  const value = await readAttribute(effects, PROT_VIRT);
  const wanted = effectiveArgument(await readCommandLine(effects), 'prot_virt');
  const read = seen(PROT_VIRT, value ?? 'absent');
  if (value?.trim() === '1') return ok('it can', read);
  return wanted?.value === '1'
    ? warn('prot_virt=1 is set, and the machine offers none', 'order the feature', read)
    : ok('it is not asked to; prot_virt=1 on the kernel command line would', read);
}

async function judgeAmd({ effects }: HostReads): Promise<Answer> {
  const sev = await readParameter(effects, 'kvm_amd', 'sev');
  if (sev === undefined) return skip('kvm_amd is not loaded, or has no such parameter');
  const hasNode = await exists(effects, SEV);
  const read = [sev.evidence, seen(SEV, hasNode ? 'present' : 'absent')];
  if (sev.on && hasNode) return ok('it can, by SEV', ...read);
  const wanted = effectiveArgument(await readCommandLine(effects), 'kvm_amd.sev');
  return sev.on || /^[Yy1]$/.test(wanted?.value ?? '')
    ? warn('SEV is asked for, and not there', 'switch SEV on in the firmware', ...read)
    : ok('it is not asked to; kvm_amd.sev=1 would', ...read);
}
