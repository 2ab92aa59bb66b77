import type { DeviceCheck, Subject } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';
import { drmUse, nvidiaUse } from './display-use.js';
import { storageUse } from './storage-use.js';

/** What the guards find, as a check each. */
interface Use {
  readonly id: string;
  readonly about: string;
  /** Reasons of findings, without `in-use.`. */
  readonly reasons: readonly string[];
  /** Subjects of the guards that may not have been able to look. */
  readonly subjects: readonly string[];
}

const USES: readonly Use[] = [
  {
    id: 'dev.in_use.net',
    about: 'whether the host reaches its network through it',
    reasons: ['net', 'net-up'],
    subjects: ['net'],
  },
  {
    id: 'dev.in_use.block',
    about: 'whether a disk behind it is mounted or part of a volume',
    reasons: ['mount', 'stack', 'zfs', 'block'],
    subjects: ['block', 'mounts'],
  },
  {
    id: 'dev.in_use.swap',
    about: 'whether swap space is on it',
    reasons: ['swap'],
    subjects: ['block'],
  },
  {
    id: 'dev.in_use.files',
    about: 'whether processes have its nodes open: disks, GPUs, accelerators',
    reasons: ['open'],
    subjects: ['files'],
  },
  {
    id: 'dev.last_display',
    about: "whether it is the host's only display",
    reasons: ['display'],
    subjects: ['display'],
  },
  {
    id: 'dev.in_use.console',
    about: 'whether a console is on it',
    reasons: ['console'],
    subjects: ['console'],
  },
  {
    id: 'dev.in_use.usb',
    about: 'whether USB devices of the host are on it',
    reasons: ['usb', 'input'],
    subjects: ['usb'],
  },
  {
    id: 'dev.in_use.tpm',
    about: "whether it is the host's TPM",
    reasons: ['tpm'],
    subjects: ['tpm'],
  },
  {
    id: 'dev.in_use.vfio',
    about: 'whether another process has it by VFIO',
    reasons: ['vfio'],
    subjects: ['vfio'],
  },
  {
    id: 'dev.sriov',
    about: 'whether virtual functions are made of it',
    reasons: ['sriov'],
    subjects: ['sriov'],
  },
  {
    id: 'dev.in_use.mdev',
    about: 'whether mediated devices are made of it',
    reasons: ['mdev'],
    subjects: ['mdev'],
  },
];

function useCheck({ id, about, reasons, subjects }: Use): DeviceCheck {
  return {
    id,
    about,
    needs: 'device',
    needsRoot: true,
    async run({ bdf, uses }) {
      const all = await uses();
      const found = all.filter(({ reason }) => reasons.includes(reason.replace(/^in-use\./, '')));
      const read = found.map(({ evidence }) => seen(bdf, evidence));
      const blocking = found.find(({ level }) => level === 'block');
      if (blocking !== undefined) return fail(blocking.evidence, blocking.remedy, ...read);
      const unread = all.find(
        ({ reason }) =>
          subjects.includes(reason.replace(/^unreadable\./, '')) &&
          reason.startsWith('unreadable.'),
      );
      if (unread !== undefined) return unknownAnswer(unread.evidence, unread.remedy, ...read);
      const [first] = found;
      return first === undefined
        ? ok('no', seen(bdf, 'no such use'))
        : warn(first.evidence, first.remedy, ...read);
    },
  };
}

export const useSubject: Subject = {
  name: 'device: use by the host',
  checks: [...USES.map(useCheck), drmUse, nvidiaUse, storageUse],
};
