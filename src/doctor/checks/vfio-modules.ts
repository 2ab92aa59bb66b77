import { HostError } from '../../errors.js';
import type { HostEffects } from '../../host/effects.js';
import { exists } from '../../host/reading.js';
import { modprobeOption } from '../../host/setup/modprobe.js';
import { MODULE_OPTIONS } from '../../host/setup/wants/places.js';
import type { HostCheck, HostReads } from '../check.js';
import { fail, ok, seen, warn, type Answer, type Evidence } from '../finding.js';
import { readModprobeLines, readModule, type ModuleStanding } from '../read-module.js';

const DRIVER = '/sys/bus/pci/drivers/vfio-pci';
const MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_pci'];

export const vfioModules: HostCheck = {
  id: 'vfio.modules',
  about: 'whether the kernel has VFIO for PCI',
  needs: 'host',
  async run(reads) {
    const all = await Promise.all(
      MODULES.map(async (name) => ({ name, ...(await standingOf(reads.effects, name)) })),
    );
    const read = all.flatMap((each) => each.read);
    const absent = all.find(({ state }) => state === 'absent');
    if (absent !== undefined) {
      return fail(`the kernel has no ${absent.name}`, `install its module ${absent.name}`, ...read);
    }
    const blocked = all.find(({ state }) => state === 'blacklisted');
    if (blocked !== undefined) return judgeBlock(reads, blocked.name, blocked.read);
    const builtIn = all.filter(({ state }) => state === 'builtin').map(({ name }) => name);
    return (await findIgnoredOption(reads, builtIn)) ?? ok('loaded, built in or loadable', ...read);
  },
};

/** Where the driver runs, what it stands on runs too, whether or not a list of modules tells. */
async function standingOf(effects: HostEffects, name: string): Promise<ModuleStanding> {
  try {
    return await readModule(effects, name);
  } catch (error) {
    const isProven = name !== 'vfio_iommu_type1' && (await exists(effects, DRIVER));
    if (!(error instanceof HostError) || !isProven) throw error;
    return { state: 'loaded', read: [seen(DRIVER, 'present')] };
  }
}

/** Whether the kernel runs VFIO now, and so should have its node. */
export async function isVfioRunning(effects: HostEffects): Promise<boolean> {
  try {
    const { state } = await standingOf(effects, 'vfio');
    return ['loaded', 'builtin'].includes(state) || (await exists(effects, DRIVER));
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  }
}

/** A list of ours, or one that is asked for, is the way back that somebody chose; it still keeps VFIO out. */
function judgeBlock({ desired }: HostReads, name: string, read: readonly Evidence[]): Answer {
  const isOurs =
    desired?.vfio?.blacklist === true || read.some(({ path }) => path === MODULE_OPTIONS);
  return isOurs
    ? warn(
        `${name} is switched off by our set-up`,
        'set vfio.blacklist to false in the desired state, then: qmplug host apply; reboot',
        ...read,
      )
    : fail(`${name} is kept from loading`, 'remove that line', ...read);
}

/** modprobe never loads what is built in, and so nothing reads its options. */
async function findIgnoredOption(
  { effects }: HostReads,
  builtIn: readonly string[],
): Promise<Answer | undefined> {
  if (builtIn.length === 0) return undefined;
  const lines = await readModprobeLines(effects);
  for (const { path, command, module, rest } of lines) {
    if (command !== 'options' || !builtIn.includes(module)) continue;
    const words = rest.map((word) => `${module}.${word}`).join(' ');
    return fail(
      `${module} is built in: its options in ${path} do nothing`,
      `put them on the kernel command line: ${words}`,
      seen(path, `options ${module} ${rest.join(' ')}`),
    );
  }
  return undefined;
}

/** Words by which somebody wants vfio-pci before the native drivers, each with where it stands. */
export async function readEarlyIds(effects: HostReads['effects']): Promise<Evidence | undefined> {
  const option = modprobeOption(await readModprobeLines(effects), 'vfio_pci', 'ids');
  return option && seen(option.path, `options vfio_pci ids=${option.value}`);
}
