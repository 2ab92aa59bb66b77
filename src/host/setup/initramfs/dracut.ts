import type { InitramfsBackend } from './backend.js';

const NAME = '90-qmplug.conf';

/**
 * dracut. `force_drivers` takes modules in and loads them early, `add_drivers` would only take them in
 * (dracut.conf(5)). In an image the file belongs below /usr, under a name that no other file there has: a
 * namesake in /etc replaces it.
 */
export const dracut: InitramfsBackend = {
  name: 'dracut',
  takesFiles: true,
  async detect(host) {
    return (await host.findProgram('dracut')) !== undefined;
  },
  wishes({ modules, files, intoImage }) {
    const folder = intoImage ? '/usr/lib/dracut/dracut.conf.d' : '/etc/dracut.conf.d';
    const lines = [
      '# Written by qmplug host apply.',
      `force_drivers+=" ${modules.join(' ')} "`,
      ...(files.length === 0 ? [] : [`install_items+=" ${files.join(' ')} "`]),
    ];
    return [{ path: `${folder}/${NAME}`, content: `${lines.join('\n')}\n` }];
  },
  refresh: [['dracut', '--force', '--regenerate-all']],
  images: (release) => [
    `/boot/initramfs-${release}.img`,
    `/boot/initrd.img-${release}`,
    `/usr/lib/modules/${release}/initramfs.img`,
  ],
  list: (image) => ['lsinitrd', image],
};
