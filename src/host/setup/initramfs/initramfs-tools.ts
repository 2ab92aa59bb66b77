import type { InitramfsBackend } from './backend.js';

const MODULES = '/etc/initramfs-tools/modules';
const HOOK = '/etc/initramfs-tools/hooks/qmplug';

/**
 * Debian and Ubuntu. Its configuration outlives it, and dracut's package has an update-initramfs too: it is here where
 * its mkinitramfs is. Modules of a block in the shared list are loaded first; files come by
 * a hook of our own.
 */
export const initramfsTools: InitramfsBackend = {
  name: 'initramfs-tools',
  takesFiles: true,
  async detect(host) {
    return (await host.findProgram('mkinitramfs')) !== undefined;
  },
  wishes({ modules, files }) {
    return [
      { path: MODULES, edit: { kind: 'block', lines: modules } },
      ...(files.length === 0 ? [] : [{ path: HOOK, content: hook(files) }]),
    ];
  },
  executable: [HOOK],
  refresh: [['update-initramfs', '-u', '-k', 'all']],
  images: (release) => [`/boot/initrd.img-${release}`],
  list: (image) => ['lsinitramfs', image],
};

function hook(files: readonly string[]): string {
  return [
    '#!/bin/sh',
    '# Written by qmplug host apply.',
    '[ "$1" = prereqs ] && exit 0',
    '. /usr/share/initramfs-tools/hook-functions',
    // A hook that fails keeps the system from making any image, and so from taking a new kernel.
    ...files.map((file) => `if [ -e ${file} ]; then copy_file rule ${file}; fi`),
    'exit 0',
    '',
  ].join('\n');
}
