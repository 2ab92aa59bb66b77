import { HostError } from '../../../errors.js';
import { textOf } from '../file-state.js';
import type { SetupHost } from '../setup-host.js';
import type { FileBackend } from './backend.js';
import { DEFAULTS, readGrubDefaults } from './grub-defaults.js';
import { editsInPlace } from './grub-drop-in.js';

const VARIABLE = 'GRUB_CMDLINE_LINUX_DEFAULT';

/** GRUB with /etc/default/grub alone: the words are edited in, and the menu is made again. */
export const grubEdit: FileBackend = {
  kind: 'file',
  name: 'grub-edit',
  imageManaged: false,
  canMerge: true,
  async detect(host) {
    return (await mkconfig(host)) !== undefined && (await host.exists(DEFAULTS));
  },
  read: (host) => readGrubDefaults(host, [DEFAULTS]),
  files(changes, configured) {
    const added = changes.filter(({ op }) => op === 'add');
    const others = editsInPlace(
      changes.filter(({ op }) => op !== 'add'),
      configured,
    );
    const inPlace = others.flatMap((wish) =>
      'edit' in wish && wish.edit.kind === 'shell-variable' ? [wish.edit] : [],
    );
    const same = inPlace
      .filter(({ variable }) => variable === VARIABLE)
      .flatMap((edit) => edit.changes);
    const all = [...added, ...same];
    return all.length === 0
      ? []
      : [{ path: DEFAULTS, edit: { kind: 'shell-variable', variable: VARIABLE, changes: all } }];
  },
  async refresh(host) {
    const program = (await mkconfig(host)) ?? 'grub-mkconfig';
    return [[program, '-o', await findMenu(host)]];
  },
};

async function mkconfig(host: SetupHost): Promise<string | undefined> {
  for (const name of ['grub-mkconfig', 'grub2-mkconfig']) {
    if ((await host.findProgram(name)) !== undefined) return name;
  }
  return undefined;
}

/**
 * The menu that the firmware's GRUB reads. On UEFI the one of the EFI partition is often three lines that lead to
 * the other, so a menu counts only where grub-mkconfig made it.
 *
 * @throws {HostError} `HOST_UNREADABLE` where there is none.
 */
export async function findMenu(host: SetupHost): Promise<string> {
  const vendors = await host.list('/boot/efi/EFI');
  const onEfi = vendors.map((vendor) => `/boot/efi/EFI/${vendor}/grub.cfg`);
  const inBoot = ['/boot/grub/grub.cfg', '/boot/grub2/grub.cfg'];
  const isEfi = await host.exists('/sys/firmware/efi');
  const candidates = isEfi ? [...onEfi, ...inBoot] : [...inBoot, ...onEfi];
  for (const path of candidates) {
    const menu = await host.readFile(path).catch(() => undefined);
    if (menu !== undefined && textOf(menu)?.includes('### BEGIN /etc/grub.d/')) return path;
  }
  throw new HostError(
    'HOST_UNREADABLE',
    `none of ${candidates.join(', ')} is a menu of grub-mkconfig`,
    {
      remedy:
        'make it once by hand: grub-mkconfig -o PATH, with the path that this machine boots from',
    },
  );
}
