import { readCredentials } from '../../host/credentials.js';
import { exists, ifPresent } from '../../host/reading.js';
import { describeNode, readAccess } from '../access.js';
import type { HostCheck, PairCheck, Subject, VmCheck } from '../check.js';
import {
  fail,
  ok,
  seen,
  skip,
  unknownAnswer,
  warn,
  type Answer,
  type Evidence,
} from '../finding.js';
import { vfioApparmor, vfioCgroup, vfioSelinux } from './vfio-confinement.js';
import { vfioCdev } from './vfio-cdev.js';
import { vfioInitramfs } from './vfio-initramfs.js';
import { isVfioRunning, vfioModules } from './vfio-modules.js';

const CONTAINER = '/dev/vfio/vfio';
const IOMMUFD = '/dev/iommu';

const container: HostCheck = {
  id: 'vfio.container',
  about: 'whether QEMU can open `/dev/vfio/vfio`',
  needs: 'host',
  async run({ effects }) {
    const stat = await ifPresent(effects.stat(CONTAINER));
    if (stat !== undefined) {
      const read = seen(CONTAINER, describeNode(stat));
      return (stat.mode & 0o666) === 0o666
        ? ok('everyone can open it', read)
        : warn('not everyone can open it', `chmod 666 ${CONTAINER}; a udev rule keeps it so`, read);
    }
    const absent = seen(CONTAINER, 'absent');
    if (!(await isVfioRunning(effects)))
      return skip('it comes with vfio, which does not run', absent);
    if (await exists(effects, IOMMUFD)) {
      return warn(`only ${IOMMUFD} is there`, 'modprobe vfio, or use iommufd', absent);
    }
    return fail('it is not there', 'modprobe vfio; in a container, pass /dev/vfio through', absent);
  },
};

const iommufd: VmCheck = {
  id: 'vfio.iommufd',
  about: 'whether QEMU of `--vm` can open `/dev/iommu`, where there is one',
  needs: 'vm',
  async run(reads) {
    const { uid, ...who } = await readCredentials(reads.effects, reads.vmmPid);
    const node = await readAccess(reads, IOMMUFD, { uid, ...who });
    if (node === undefined) return skip('the kernel has no iommufd', seen(IOMMUFD, 'absent'));
    if (node.access === 'yes') return ok(`uid ${uid} can open it`, node.read);
    return node.access === 'no'
      ? warn(`uid ${uid} cannot open it`, `setfacl -m u:${uid}:rw ${IOMMUFD}`, node.read)
      : unseen(IOMMUFD, uid, node.read);
  },
};

/** Only its access control list can let the user in, and nothing here reads it. */
const unseen = (node: string, uid: number, read: Evidence): Answer =>
  unknownAnswer(`only an access control list can let uid ${uid} in`, `getfacl ${node}`, read);

const groupAccess: PairCheck = {
  id: 'vfio.group_perm',
  about: "whether QEMU can open the group's node",
  needs: 'pair',
  async run(reads) {
    const { iommuGroup, bdf } = reads.record;
    if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
    if (iommuGroup.value === undefined) return skip('the device is in no IOMMU group');
    const path = `/dev/vfio/${iommuGroup.value}`;
    const { uid, ...who } = await readCredentials(reads.effects, reads.vmmPid);
    const node = await readAccess(reads, path, { uid, ...who });
    if (node === undefined) {
      return warn('not bound to VFIO yet', `qmplug host bind ${bdf}`, seen(path, 'absent'));
    }
    if (node.access === 'yes') return ok(`uid ${uid} can open it`, node.read);
    return node.access === 'no'
      ? fail(`uid ${uid} cannot open it`, `setfacl -m u:${uid}:rw ${path}`, node.read)
      : unseen(path, uid, node.read);
  },
};

const namespace: VmCheck = {
  id: 'vfio.seccomp_ns',
  about: 'whether QEMU sees `/dev/vfio` in its own file system',
  needs: 'vm',
  needsRoot: true,
  async run({ effects, vmmPid }): Promise<Answer> {
    const here = await exists(effects, CONTAINER);
    if (!here) return skip('the host has none itself', seen(CONTAINER, 'absent'));
    const there = `/proc/${vmmPid}/root${CONTAINER}`;
    return (await exists(effects, there))
      ? ok('QEMU sees it', seen(there, 'present'))
      : fail(
          'QEMU runs where there is no such node',
          `mount --bind /dev/vfio in the file system of pid ${vmmPid}, or pass descriptors`,
          seen(there, 'absent'),
        );
  },
};

export const vfioSubject: Subject = {
  name: 'VFIO',
  checks: [
    vfioModules,
    vfioInitramfs,
    container,
    vfioCdev,
    iommufd,
    groupAccess,
    vfioCgroup,
    vfioSelinux,
    vfioApparmor,
    namespace,
  ],
};
