import type { HostEffects } from '../host/effects.js';
import { exists, ifPresent, isMissing } from '../host/reading.js';
import { HostError } from '../errors.js';
import { listElements, parseCommandLine, type KernelArgument } from '../host/setup/command-line.js';
import { moduleName } from '../host/setup/facts.js';
import { newFile } from '../host/setup/file-state.js';
import { modprobeBlock, readModprobe, type ModprobeLine } from '../host/setup/modprobe.js';
import { seen, type Evidence } from './finding.js';

/** Where a module stands on the running kernel. */
export interface ModuleStanding {
  readonly state: 'loaded' | 'builtin' | 'loadable' | 'blacklisted' | 'absent';
  readonly read: readonly Evidence[];
}

/** The command line of the running kernel. @throws {HostIoError} */
export async function readCommandLine(effects: HostEffects): Promise<readonly KernelArgument[]> {
  return parseCommandLine((await effects.read('/proc/cmdline')).trim());
}

/** Every line of modprobe's configuration. @throws {HostIoError} for a file that cannot be read. */
export async function readModprobeLines(effects: HostEffects): Promise<readonly ModprobeLine[]> {
  const unread: unknown[] = [];
  const lines = await readModprobe({
    list: async (path) => (await ifPresent(effects.list(path))) ?? [],
    readFile: async (path) => {
      try {
        return newFile(await effects.read(path));
      } catch (error) {
        // One that left since, or a link to nothing, says nothing to modprobe either.
        if (!isMissing(error)) unread.push(error);
        throw error;
      }
    },
  });
  if (unread.length > 0) throw unread[0];
  return lines;
}

/**
 * Effective state before configured state: a module that runs is there, whatever a list says.
 *
 * @param name with underscores.
 * @throws {HostIoError} @throws {HostError} where nothing tells which modules the kernel has.
 */
export async function readModule(effects: HostEffects, name: string): Promise<ModuleStanding> {
  const running = `/sys/module/${name}`;
  if (await exists(effects, running)) return { state: 'loaded', read: [seen(running, 'present')] };
  const release = (await effects.read('/proc/sys/kernel/osrelease')).trim();
  const folder = `/lib/modules/${release}`;
  const [builtIn, loadable] = await Promise.all(
    ['modules.builtin', 'modules.dep'].map((file) => ifPresent(effects.read(`${folder}/${file}`))),
  );
  const has = (list: string | undefined) =>
    (list ?? '').split('\n').some((line) => moduleName(line).includes(name));
  if (has(builtIn)) return { state: 'builtin', read: [seen(`${folder}/modules.builtin`, name)] };
  if (has(loadable)) return findBlock(effects, name, seen(`${folder}/modules.dep`, name));
  if (builtIn === undefined && loadable === undefined) {
    throw new HostError('HOST_UNREADABLE', `${folder} does not tell which modules there are`);
  }
  return { state: 'absent', read: [seen(running, 'absent'), seen(folder, `no ${name}`)] };
}

async function findBlock(
  effects: HostEffects,
  name: string,
  found: Evidence,
): Promise<ModuleStanding> {
  const line = await readCommandLine(effects);
  for (const key of ['module_blacklist', 'modprobe.blacklist']) {
    const names = listElements(line, key).map((each) => each.replaceAll('-', '_'));
    if (names.includes(name)) {
      return { state: 'blacklisted', read: [seen('/proc/cmdline', `${key}=${name}`)] };
    }
  }
  const block = modprobeBlock(await readModprobeLines(effects), name);
  return block === undefined
    ? { state: 'loadable', read: [found] }
    : { state: 'blacklisted', read: [seen(block.path, block.line)] };
}

/** A module parameter's value without its newline; undefined where the module or parameter is not there. */
export async function readParameter(
  effects: HostEffects,
  module: string,
  parameter: string,
): Promise<{ readonly on: boolean; readonly evidence: Evidence } | undefined> {
  const path = `/sys/module/${module}/parameters/${parameter}`;
  const text = (await ifPresent(effects.read(path)))?.trim();
  return text === undefined ? undefined : { on: /^[Yy1]$/.test(text), evidence: seen(path, text) };
}
