import type { InitramfsBackend } from './backend.js';

const MODULES = '/etc/initramfs-tools/modules';
const HOOK = '/etc/initramfs-tools/hooks/qmplug';

/** Debian and Ubuntu. Modules of a block in the shared list are loaded first; files come by a hook of our own. */
export const initramfsTools: InitramfsBackend = {
  name: 'initramfs-tools',
  takesFiles: true,
  async detect(host) {
    return (
      (await host.findProgram('update-initramfs')) !== undefined &&
      (await host.exists('/etc/initramfs-tools'))
    );
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
    ...files.map((file) => `copy_file rule ${file}`),
    '',
  ].join('\n');
}
