import type { InitramfsBackend } from './backend.js';

/** Arch. A drop-in is read after the main file, so our modules go before those that stand there (GPU drivers). */
export const mkinitcpio: InitramfsBackend = {
  name: 'mkinitcpio',
  takesFiles: true,
  async detect(host) {
    return (await host.findProgram('mkinitcpio')) !== undefined;
  },
  wishes({ modules, files }) {
    const lines = [
      '# Written by qmplug host apply.',
      `MODULES=(${modules.join(' ')} "\${MODULES[@]}")`,
      ...(files.length === 0 ? [] : [`FILES+=(${files.join(' ')})`]),
    ];
    return [{ path: '/etc/mkinitcpio.conf.d/qmplug.conf', content: `${lines.join('\n')}\n` }];
  },
  refresh: [['mkinitcpio', '-P']],
  images: () => ['/boot/initramfs-linux.img', '/boot/initramfs-linux-lts.img'],
  list: (image) => ['lsinitcpio', image],
};
