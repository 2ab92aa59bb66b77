import { readCredentials, type ProcessCredentials } from '../../host/credentials.js';
import { exists, ifPresent } from '../../host/reading.js';
import { libvirtListOf } from '../../host/setup/edits/index.js';
import { readAccess } from '../access.js';
import type { HostCheck, HostReads } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { ABSTRACTION, findRule, hasApparmor } from '../read-apparmor.js';
import { findDenial } from '../read-denials.js';
import { isWanted, nodesOf, readSizes } from '../read-kvmfr.js';
import { isEnforcing, readType } from '../read-selinux.js';
import { readGroupsOf } from '../read-users.js';

const RULE =
  'SUBSYSTEM=="kvmfr", GROUP="kvm", MODE="0660", TAG+="uaccess" in /etc/udev/rules.d/70-qmplug-kvmfr.rules';

export const kvmfrPerm: HostCheck = {
  id: 'kvmfr.perm',
  about: 'whether QEMU (of `--vm`, else who asks) and whoever sits at the machine can open it',
  needs: 'host',
  async run(reads) {
    const nodes = nodesOf(await readSizes(reads));
    const [node] = nodes;
    if (node === undefined) return skip('nothing asks for kvmfr');
    const vmm = await readCredentials(reads.effects, reads.vmmPid);
    const client = await readSeatUser(reads);
    const who = [{ name: `QEMU (uid ${vmm.uid})`, as: vmm }].concat(
      client === undefined ? [] : [{ name: `the display client (uid ${client.uid})`, as: client }],
    );
    const judged = await Promise.all(
      who.map(async ({ name, as }) => ({ name, found: await readAccess(reads, node, as) })),
    );
    const read = judged.flatMap(({ found }) => (found === undefined ? [] : [found.read]));
    if (judged.some(({ found }) => found === undefined)) {
      return skip('it is not there: see kvmfr.device', seen(node, 'absent'));
    }
    const unseen = judged.find(({ found }) => found?.access === 'perhaps');
    if (unseen !== undefined) {
      const why = `only an access control list can let ${unseen.name} in`;
      return unknownAnswer(why, `getfacl ${node}`, ...read);
    }
    const out = judged.filter(({ found }) => found?.access === 'no').map(({ name }) => name);
    if (out.length === 0) return ok(`${who.map(({ name }) => name).join(' and ')} can`, ...read);
    const why = `${out.join(' and ')} cannot open ${node}`;
    const remedy = `a udev rule gives it to both: ${RULE}`;
    return out.length < who.length ? warn(why, remedy, ...read) : fail(why, remedy, ...read);
  },
};

const SEAT = '/run/systemd/seats/seat0';

/** Who has the screen and keyboard, as logind tells it (sd-login(3)). */
async function readSeatUser({ effects }: HostReads): Promise<ProcessCredentials | undefined> {
  const text = await ifPresent(effects.read(SEAT));
  const uid = /^ACTIVE_UID=(\d+)$/m.exec(text ?? '')?.[1];
  if (uid === undefined) return undefined;
  const { gid, groups } = await readGroupsOf(effects, Number(uid));
  return { uid: Number(uid), gid, groups, capabilities: 0n };
}

const LIBVIRT = '/etc/libvirt/qemu.conf';

export const kvmfrMac: HostCheck = {
  id: 'kvmfr.mac',
  about: 'whether SELinux, AppArmor and libvirt let a VM use kvmfr, and not more than that',
  needs: 'host',
  needsRoot: true,
  async run(reads) {
    const { effects, setup } = reads;
    const sizes = await readSizes(reads);
    const [node] = nodesOf(sizes);
    if (!isWanted(sizes) || node === undefined) return skip('nothing asks for kvmfr');
    const apply = 'name kvmfr in a desired state, then: qmplug host apply FILE';
    const denial = await findDenial(effects, node);
    if (denial !== undefined) return fail(`the kernel has refused ${node}`, apply, denial);
    const libvirt = await ifPresent(effects.read(LIBVIRT));
    if (libvirt !== undefined && !libvirtListOf(libvirt, 'cgroup_device_acl').includes(node)) {
      const why = `libvirt keeps its VMs from ${node}`;
      return fail(
        why,
        `add "${node}" to cgroup_device_acl in ${LIBVIRT}`,
        seen(LIBVIRT, `no ${node}`),
      );
    }
    if (libvirt !== undefined && (await hasApparmor(effects))) {
      const rule = await findRule(effects, '', node);
      if (rule === undefined) {
        const remedy = `add "${node} rw," to ${ABSTRACTION}`;
        return warn(
          `no rule of AppArmor lets VMs open ${node}`,
          remedy,
          seen(ABSTRACTION, 'no rule'),
        );
      }
    }
    const enforce = await isEnforcing(effects);
    if (!enforce.isOn || !(await exists(effects, node)))
      return ok('nothing forbids it', enforce.read);
    const type = await readType(setup, node);
    if (!type.known) return unknownAnswer(type.reason, `ls -Z ${node}`, enforce.read);
    return type.value === 'device_t'
      ? warn('only a rule for every unlabelled device lets VMs in', apply, seen(node, type.value))
      : ok(`it is a ${type.value}`, seen(node, type.value));
  },
};
