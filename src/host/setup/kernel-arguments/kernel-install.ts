import { isCommentLine, parseCommandLine } from '../command-line.js';
import { textOf } from '../file-state.js';
import type { SetupHost } from '../setup-host.js';
import type { FileBackend } from './backend.js';

const FILE = '/etc/kernel/cmdline';
const LOADERS = [
  '/boot/loader/loader.conf',
  '/efi/loader/loader.conf',
  '/boot/efi/loader/loader.conf',
];
const PROXMOX_UUIDS = '/etc/kernel/proxmox-boot-uuids';

/**
 * systemd-boot with kernel-install, and Proxmox: one file with the whole line. Without that file the line is
 * taken from elsewhere, and a new one with our words alone would have no `root=`: then it is not ours to make.
 */
export const kernelInstall: FileBackend = {
  kind: 'file',
  name: 'kernel-install',
  imageManaged: false,
  canMerge: true,
  async detect(host) {
    if (!(await host.exists(FILE))) return false;
    if (await isProxmox(host)) return true;
    if ((await host.findProgram('kernel-install')) === undefined) return false;
    const found = await Promise.all(LOADERS.map((path) => host.exists(path)));
    return found.includes(true);
  },
  async read(host) {
    const lines = (textOf(await host.readFile(FILE)) ?? '').split('\n');
    const words = parseCommandLine(lines.filter((line) => !isCommentLine(line)).join('\n'));
    return { words, files: [{ path: FILE, words }] };
  },
  files(changes) {
    return changes.length === 0 ? [] : [{ path: FILE, edit: { kind: 'words', changes } }];
  },
  async refresh(host) {
    if (await isProxmox(host)) return [['proxmox-boot-tool', 'refresh']];
    const help = await host.run(['kernel-install', '--help']);
    if (help.stdout.includes('add-all')) return [['kernel-install', 'add-all']];
    const releases = await host.list('/usr/lib/modules');
    const images = await Promise.all(
      releases.map(async (release) => {
        const places = [`/usr/lib/modules/${release}/vmlinuz`, `/boot/vmlinuz-${release}`];
        const there = await Promise.all(places.map((path) => host.exists(path)));
        const image = places[there.indexOf(true)];
        return image === undefined ? [] : [['kernel-install', 'add', release, image]];
      }),
    );
    return images.flat();
  },
};

async function isProxmox(host: SetupHost): Promise<boolean> {
  return (
    (await host.exists(PROXMOX_UUIDS)) &&
    (await host.findProgram('proxmox-boot-tool')) !== undefined
  );
}
