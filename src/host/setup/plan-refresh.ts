import { isChanged } from './argument-changes.js';
import { moduleName, type SetupFacts } from './facts.js';
import type { PlannedFiles } from './plan-files.js';
import type { SetupAction, SetupItem } from './plan-types.js';
import type { SetupDraft } from './setup-draft.js';
import type { Refresh } from './steps.js';
import { EARLY_RULE } from './wants/places.js';
import type { RefreshName } from './wants/index.js';

/** What is generated of files, and is not as they are: a menu or an initramfs that nobody made anew. */
export function planGenerated(
  { facts, planned, files: wanted }: SetupDraft,
  files: PlannedFiles,
): { readonly items: readonly SetupItem[]; readonly refresh: readonly RefreshName[] } {
  const stale: { readonly name: RefreshName; readonly item: SetupItem }[] = [];
  const { menu } = facts.kernelArguments;
  const lost =
    menu?.known && !files.refresh.has('boot-menu')
      ? planned.target.find((change) => !isChanged(menu.value, change))
      : undefined;
  if (lost !== undefined) {
    const reason = `the boot menu does not have ${lost.text}, although the files for it do`;
    stale.push({
      name: 'boot-menu',
      item: { id: 'boot-menu', subject: lost.text, state: 'missing', reason },
    });
  }
  const wantsInitramfs = wanted.some(({ item }) => item === 'initramfs');
  if (wantsInitramfs && !files.refresh.has('initramfs')) {
    const item = initramfsItem(
      facts,
      wanted.some(({ path }) => path === EARLY_RULE),
    );
    stale.push({ name: 'initramfs', item });
  }
  return {
    items: stale.map(({ item }) => item),
    refresh: stale.filter(({ item }) => item.state === 'missing').map(({ name }) => name),
  };
}

/** Whether the image of the kernel that boots next holds what it shall. */
function initramfsItem(facts: SetupFacts, withRule: boolean): SetupItem {
  const { listing } = facts.initramfs;
  const [id, subject] = ['initramfs.content', 'the newest kernel'];
  if (!listing.known) {
    const remedy = 'look at the image as root';
    return { id, subject, state: 'unknown', reason: listing.reason, remedy };
  }
  const inside = new Set(listing.value.flatMap(moduleName));
  const newest = facts.kernels.at(-1);
  const needed = ['vfio', 'vfio_iommu_type1', 'vfio_pci'].filter((name) =>
    newest?.modules.has(name),
  );
  const missing: readonly string[] = [
    ...needed.filter((name) => !inside.has(name)),
    ...(withRule && !listing.value.some((line) => line.endsWith(EARLY_RULE.slice(1)))
      ? [EARLY_RULE]
      : []),
  ];
  if (missing.length === 0) return { id, subject, state: 'ok' };
  return { id, subject, state: 'missing', reason: `the initramfs lacks ${missing.join(', ')}` };
}

/** The programs to run, behind the changes and, on the way back, behind the changes that are taken back. */
export function refreshCommands(
  names: ReadonlySet<RefreshName>,
  facts: SetupFacts,
  changed: ReadonlySet<RefreshName>,
): {
  readonly before: readonly Refresh[];
  readonly after: readonly Refresh[];
  readonly actions: readonly SetupAction[];
} {
  const commands = [...names].flatMap((name) =>
    commandsFor(name, facts).map((argv) => ({ name, argv })),
  );
  const step = (argv: readonly string[], turn: 'do' | 'undo'): Refresh => ({
    kind: 'Refresh',
    action: argv.join(' '),
    argv,
    turn,
  });
  return {
    before: commands.filter(({ name }) => changed.has(name)).map(({ argv }) => step(argv, 'undo')),
    after: commands.map(({ argv }) => step(argv, 'do')),
    actions: commands.map(({ name, argv }) => ({
      id: argv.join(' '),
      kind: 'Refresh',
      backend: name === 'initramfs' ? (facts.initramfs.backend?.name ?? name) : name,
      current: null,
      wanted: null,
      argv: [argv],
      needsRoot: true,
      needsReboot: name === 'initramfs' || name === 'boot-menu',
      ownership: 'none',
      inverse: `${argv.join(' ')}, once the files are as they were`,
      risk: name === 'initramfs' || name === 'boot-menu' ? 'boot' : 'low',
    })),
  };
}

/** Nothing is told to a machine that is not running; an image's initramfs is made by whoever builds it. */
export function commandsFor(name: RefreshName, facts: SetupFacts): readonly (readonly string[])[] {
  switch (name) {
    case 'initramfs':
      return facts.isImageSystem ? [] : (facts.initramfs.backend?.refresh ?? []);
    case 'boot-menu':
      return facts.kernelArguments.refresh.known ? facts.kernelArguments.refresh.value : [];
    case 'udev-kvmfr':
      if (!facts.isMachine) return [];
      return [
        ['udevadm', 'control', '--reload'],
        ['udevadm', 'trigger', '--subsystem-match=kvmfr'],
      ];
    case 'systemd':
      return facts.isMachine ? [['systemctl', 'daemon-reload']] : [];
    case 'selinux':
      return facts.isMachine ? [['restorecon', '-R', '/dev']] : [];
  }
}
