import { ifPresent, readAttribute } from '../../host/reading.js';
import type { PairCheck, PairReads } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn, type Answer } from '../finding.js';
import { ABSTRACTION, findRule, hasApparmor, PROFILES } from '../read-apparmor.js';
import { findDenial } from '../read-denials.js';
import { readDevicePolicy } from '../read-device-policy.js';
import { isEnforcing, readType } from '../read-selinux.js';

/** The group's node; a check of what may keep QEMU from it is one for each of the kernel's gates. */
function onGroupNode(
  check: Pick<PairCheck, 'id' | 'about' | 'needsRoot'>,
  judge: (reads: PairReads, node: string) => Promise<Answer>,
): PairCheck {
  return {
    ...check,
    needs: 'pair',
    async run(reads) {
      const { iommuGroup } = reads.record;
      if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
      if (iommuGroup.value === undefined) return skip('the device is in no IOMMU group');
      return judge(reads, `/dev/vfio/${iommuGroup.value}`);
    },
  };
}

export const vfioCgroup = onGroupNode(
  { id: 'vfio.cgroup', about: "whether QEMU's control group lets it open the group's node" },
  async ({ effects, vmmPid }, node) => {
    const policy = await readDevicePolicy(effects, vmmPid, node);
    switch (policy.kind) {
      case 'open':
        return ok(policy.why, policy.read);
      case 'closed':
        return fail(policy.why, policy.remedy, policy.read);
      case 'unknown':
        return unknownAnswer(policy.why, policy.remedy, policy.read);
    }
  },
);

/** Types that policies give to VFIO's nodes: refpolicy and Fedora's, `devices.te`. */
const VFIO_TYPE = 'vfio_device_t';

export const vfioSelinux = onGroupNode(
  { id: 'vfio.selinux', about: "whether SELinux lets QEMU open the group's node" },
  async ({ effects, setup }, node) => {
    const enforce = await isEnforcing(effects);
    if (!enforce.isOn) return ok(enforce.why, enforce.read);
    const denial = await findDenial(effects, node);
    const relabel = `restorecon -v ${node}`;
    if (denial !== undefined) return fail(`SELinux has refused ${node}`, relabel, denial);
    if ((await ifPresent(effects.stat(node))) === undefined) {
      return skip('not bound to VFIO yet', seen(node, 'absent'), enforce.read);
    }
    const type = await readType(setup, node);
    if (!type.known) return unknownAnswer(type.reason, `ls -Z ${node}`, enforce.read);
    const read = seen(node, type.value);
    return type.value === VFIO_TYPE
      ? ok(`it is a ${VFIO_TYPE}`, read)
      : warn(`it is a ${type.value}, and VMs may open ${VFIO_TYPE}`, relabel, read);
  },
);

export const vfioApparmor = onGroupNode(
  {
    id: 'vfio.apparmor',
    about: "whether QEMU's AppArmor profile lets it open the group's node",
    needsRoot: true,
  },
  async ({ effects, vmmPid }, node) => {
    if (!(await hasApparmor(effects))) {
      return ok('there is no AppArmor', seen(PROFILES, 'absent'));
    }
    const path = `/proc/${vmmPid}/attr/current`;
    const profile = (await readAttribute(effects, path))?.replace(/\0/g, '') ?? 'unconfined';
    const read = seen(path, profile);
    const [, name, mode] = /^(.*?)(?: \((\w+)\))?$/.exec(profile) ?? [];
    if (name === 'unconfined' || mode === 'complain') return ok('QEMU is not confined', read);
    const rule = await findRule(effects, name ?? '', node);
    if (rule !== undefined) return ok('a rule lets it in', read, rule);
    const remedy = `add "${node} rw," to ${ABSTRACTION}, then start the VM anew`;
    const denial = await findDenial(effects, node);
    return denial === undefined
      ? warn(`no rule for ${node} was found for the profile ${name ?? ''}`, remedy, read)
      : fail(`AppArmor has refused ${node}`, remedy, read, denial);
  },
);
