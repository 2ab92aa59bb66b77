import type { InitramfsBackend } from './backend.js';

/** booster: its image runs no udev, so only ids on the command line bind early. */
export const booster: InitramfsBackend = {
  name: 'booster',
  takesFiles: false,
  async detect(host) {
    return (await host.findProgram('booster')) !== undefined;
  },
  wishes({ modules }) {
    const edit = { kind: 'yaml-list', key: 'modules_force_load', entries: modules } as const;
    return [{ path: '/etc/booster.yaml', edit }];
  },
  refresh: [['/usr/lib/booster/regenerate_images']],
  images: () => ['/boot/booster-linux.img', '/boot/booster-linux-lts.img'],
  list: (image) => ['booster', 'ls', image],
};
