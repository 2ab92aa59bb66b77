import { readClassDevices } from '../../host/class-devices.js';
import type { DeviceCheck } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';

const HOSTS = '/sys/class/scsi_host';
const BLOCKING = ['tpm', 'mount', 'stack', 'zfs', 'swap'].map((use) => `in-use.${use}`);

/** A controller without a disk that anybody uses may still be the one that the host's disks hang on next. */
export const storageUse: DeviceCheck = {
  id: 'dev.in_use.tpm_storage',
  about: 'whether storage or keys of the host hang on it: SCSI hosts, mounted disks, its TPM',
  needs: 'device',
  needsRoot: true,
  async run({ effects, bdf, uses }) {
    const all = await uses();
    const used = all.find(({ level, reason }) => level === 'block' && BLOCKING.includes(reason));
    if (used !== undefined) return fail(used.evidence, used.remedy, seen(bdf, used.evidence));
    const blind = all.find(({ reason }) =>
      ['unreadable.block', 'unreadable.mounts', 'unreadable.tpm'].includes(reason),
    );
    if (blind !== undefined) return unknownAnswer(blind.evidence, blind.remedy);
    const hosts = await readClassDevices(effects, HOSTS);
    const own = hosts.filter(({ functions }) => functions.includes(bdf)).map(({ name }) => name);
    return own.length === 0
      ? ok('nothing of the kind', seen(HOSTS, 'none of its own'))
      : warn(
          `${own.join(', ')}: disks of the host may come to be on it`,
          `see that nothing of the host hangs on it: ls /sys/bus/pci/devices/${bdf}/*/target*`,
          seen(HOSTS, own.join(', ')),
        );
  },
};
