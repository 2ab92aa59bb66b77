import { HostError } from '../../errors.js';
import { readCredentials } from '../../host/credentials.js';
import type { HostEffects } from '../../host/effects.js';
import { exists, ifPresent } from '../../host/reading.js';
import { accessTo, describeNode } from '../access.js';
import type { HostCheck, PairCheck, Subject, VmCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn, type Answer } from '../finding.js';
import { readModule, type ModuleStanding } from '../read-module.js';

const CONTAINER = '/dev/vfio/vfio';
const IOMMUFD = '/dev/iommu';
const DRIVER = '/sys/bus/pci/drivers/vfio-pci';
const MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_pci'];

const modules: HostCheck = {
  id: 'vfio.modules',
  about: 'whether the kernel has VFIO for PCI',
  needs: 'host',
  async run({ effects }) {
    const all = await Promise.all(
      MODULES.map(async (name) => ({ name, ...(await standingOf(effects, name)) })),
    );
    const read = all.flatMap((each) => each.read);
    const absent = all.find(({ state }) => state === 'absent');
    if (absent !== undefined) {
      return fail(`the kernel has no ${absent.name}`, `install its module ${absent.name}`, ...read);
    }
    const blocked = all.find(({ state }) => state === 'blacklisted');
    return blocked === undefined
      ? ok('loaded, built in or loadable', ...read)
      : fail(`${blocked.name} is kept from loading`, 'remove that line', ...blocked.read);
  },
};

/** Where the driver runs, what it stands on runs too, whether or not a list of modules tells. */
async function standingOf(effects: HostEffects, name: string): Promise<ModuleStanding> {
  try {
    return await readModule(effects, name);
  } catch (error) {
    const isProven = name !== 'vfio_iommu_type1' && (await exists(effects, DRIVER));
    if (!(error instanceof HostError) || !isProven) throw error;
    return { state: 'loaded', read: [seen(DRIVER, 'present')] };
  }
}

/** Whether the kernel runs VFIO now, and so should have its node. */
async function isVfioRunning(effects: HostEffects): Promise<boolean> {
  try {
    const { state } = await standingOf(effects, 'vfio');
    return ['loaded', 'builtin'].includes(state) || (await exists(effects, DRIVER));
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  }
}

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
  async run({ effects, vmmPid }) {
    const stat = await ifPresent(effects.stat(IOMMUFD));
    if (stat === undefined) return skip('the kernel has no iommufd', seen(IOMMUFD, 'absent'));
    const { uid, ...who } = await readCredentials(effects, vmmPid);
    const access = accessTo(stat, { uid, ...who });
    const read = seen(IOMMUFD, describeNode(stat));
    if (access === 'yes') return ok(`uid ${uid} can open it`, read);
    return access === 'no'
      ? warn(`uid ${uid} cannot open it`, `setfacl -m u:${uid}:rw ${IOMMUFD}`, read)
      : unknownAnswer(
          `only an access control list can let uid ${uid} in`,
          `getfacl ${IOMMUFD}`,
          read,
        );
  },
};

const groupAccess: PairCheck = {
  id: 'vfio.group_perm',
  about: "whether QEMU can open the group's node",
  needs: 'pair',
  async run({ effects, record, vmmPid }) {
    const { iommuGroup } = record;
    if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
    if (iommuGroup.value === undefined) return skip('the device is in no IOMMU group');
    const node = `/dev/vfio/${iommuGroup.value}`;
    const stat = await ifPresent(effects.stat(node));
    const bdf = record.bdf;
    if (stat === undefined) {
      return warn('not bound to VFIO yet', `qmplug host bind ${bdf}`, seen(node, 'absent'));
    }
    const who = await readCredentials(effects, vmmPid);
    const read = seen(node, describeNode(stat));
    const access = accessTo(stat, who);
    if (access === 'yes') return ok(`uid ${who.uid} can open it`, read);
    return access === 'no'
      ? fail(`uid ${who.uid} cannot open it`, `setfacl -m u:${who.uid}:rw ${node}`, read)
      : unknownAnswer(
          `only an access control list can let uid ${who.uid} in`,
          `getfacl ${node}`,
          read,
        );
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
  checks: [modules, container, iommufd, groupAccess, namespace],
};
