import { moduleState } from '../facts.js';
import { HEADER, type Wish } from './wish.js';

/** What switches vfio-pci off for one boot, in every stage of it. */
export const FALLBACK_WORDS = [
  'module_blacklist=vfio_pci',
  'modprobe.blacklist=vfio_pci',
  'rd.driver.blacklist=vfio-pci',
] as const;

const ENTRY = '/etc/grub.d/11_qmplug_fallback';

/** A way back at the boot menu: an entry of its own, or the exact words to type. No permanent argument. */
export const fallback: Wish = (desired, facts) => {
  const item = 'fallback';
  const blacklist =
    desired.vfio?.blacklist === true
      ? [{ item: 'vfio.blacklist', key: 'module_blacklist', elements: ['vfio_pci'] }]
      : [];
  if (desired.fallback !== 'blacklist') return { arguments: blacklist };
  const words = FALLBACK_WORDS.join(' ');
  if (moduleState(facts, 'vfio_pci') === 'builtin') {
    const reason = 'vfio_pci is built into the kernel, and no argument keeps it out';
    const remedy = 'use a kernel with vfio_pci as a module, or set fallback to "none"';
    return { arguments: blacklist, refused: [{ item, state: 'unmet', reason, remedy }] };
  }
  if (!facts.kernelArguments.backend.name.startsWith('grub-')) {
    const text = `to boot once without vfio-pci, add at the boot menu: ${words}`;
    return { arguments: blacklist, notes: [{ item, text }] };
  }
  // grub-mkconfig exports its settings to the scripts, so that the system's own makes the entries once more.
  const content = [
    '#!/bin/sh',
    HEADER,
    `GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ${words}"`,
    'GRUB_DISTRIBUTOR="${GRUB_DISTRIBUTOR:-Linux} without vfio-pci"',
    'export GRUB_CMDLINE_LINUX GRUB_DISTRIBUTOR',
    'exec /etc/grub.d/10_linux',
    '',
  ].join('\n');
  return {
    arguments: blacklist,
    files: [{ item, path: ENTRY, content, mode: 0o755, refresh: ['boot-menu'], risk: 'boot' }],
  };
};
