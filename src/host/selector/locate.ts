import { RefusedError } from '../../errors.js';
import { isBdfName } from '../class-devices.js';
import { followLinks } from '../follow-links.js';
import type { HostEffects } from '../effects.js';
import { isMdevUuid } from '../mdev-name.js';
import { devicePath, isBridgeClass } from '../pci-function.js';
import { exists, listOrNone, readAttribute } from '../reading.js';
import type { Rule } from './deny.js';
import { allOf, anyOf, valuesTerm, type Expression, type ListedTest } from './expression.js';

type Missing = 'refuse' | 'nothing';

const GROUP = /^\/(?:dev\/vfio|sys\/kernel\/iommu_groups)\/(\d+)$/;
const CDEV = /^\/dev\/vfio\/devices\/(vfio\d+)$/;

/**
 * Puts the devices that paths lead to in the place of the paths, so that whatever follows knows one device by one
 * name: a link in sysfs, a group's node, a cdev.
 *
 * @param missing what becomes of a path that leads to no device: a request is refused, a rule goes on without it
 * (and `!` of nothing is everything, so that a rule which denies all but that device still denies).
 * @throws {RefusedError} `NO_MATCH` for a path that leads to no device.
 */
export async function locatePaths(
  effects: HostEffects,
  expression: Expression,
  missing: Missing = 'refuse',
): Promise<Expression> {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return {
        ...expression,
        of: await Promise.all(expression.of.map((each) => locatePaths(effects, each, missing))),
      };
    case 'not':
    case 'pf-of':
      return { ...expression, of: await locatePaths(effects, expression.of, missing) };
    case 'values':
      return expression.field === 'file'
        ? locateValues(effects, expression.tests, missing)
        : expression;
    default:
      return expression;
  }
}

/** A rule by path is about what the path leads to now. */
export function locateRules(
  effects: HostEffects,
  rules: readonly Rule[],
): Promise<readonly Rule[]> {
  return Promise.all(
    rules.map(async (rule) => ({
      ...rule,
      expression: await locatePaths(effects, rule.expression, 'nothing'),
    })),
  );
}

/** As for every list of values: any of those without a `!`, and none of those with one. */
async function locateValues(
  effects: HostEffects,
  tests: readonly ListedTest[],
  missing: Missing,
): Promise<Expression> {
  const wanted: Expression[] = [];
  const unwanted: Expression[] = [];
  for (const { negated, test } of tests) {
    const meant = test.kind === 'text' ? await devicesAt(effects, test.text, missing) : undefined;
    if (meant === undefined) continue;
    if (negated) unwanted.push({ kind: 'not', of: meant });
    else wanted.push(meant);
  }
  const [first, ...others] = wanted;
  const [head, ...rest] = first === undefined ? unwanted : [anyOf([first, ...others]), ...unwanted];
  if (head === undefined) throw new Error('a term has at least one value');
  return allOf([head, ...rest]);
}

async function devicesAt(
  effects: HostEffects,
  path: string,
  missing: Missing,
): Promise<Expression> {
  const names = await namesAt(effects, path);
  const functions = names.filter(isBdfName);
  const mdevs = names.filter(isMdevUuid);
  const terms = [termOf('bdf', functions), termOf('uuid', mdevs)].flat();
  const [first, ...others] = terms;
  if (first !== undefined) return anyOf([first, ...others]);
  // No UUID is spelled like a path: true of no device.
  if (missing === 'nothing') return valuesTerm('uuid', { kind: 'text', text: path });
  throw new RefusedError('NO_MATCH', `${path} leads to no device of this host`, {
    remedy: 'name a device by its address, or by a path below /sys: qmplug devices',
    details: { selector: path, nearMisses: [] },
  });
}

function termOf(field: 'bdf' | 'uuid', names: readonly string[]): readonly Expression[] {
  if (names.length === 0) return [];
  return [valuesTerm(field, ...names.map((text) => ({ kind: 'text', text }) as const))];
}

async function namesAt(effects: HostEffects, path: string): Promise<readonly string[]> {
  const group = GROUP.exec(path)?.[1];
  if (group !== undefined) return membersOf(effects, group);
  const cdev = CDEV.exec(path)?.[1];
  if (cdev !== undefined) return ownerOfCdev(effects, cdev);
  const target = await followLinks(effects, path);
  if (target === undefined) return [];
  if (target !== path && (GROUP.test(target) || CDEV.test(target))) return namesAt(effects, target);
  if (!target.startsWith('/sys/devices/')) return [];
  const owner = target.split('/').findLast((part) => isBdfName(part) || isMdevUuid(part));
  return owner === undefined ? [] : [owner];
}

/** Bridges stay with the host whoever has the group. */
async function membersOf(effects: HostEffects, group: string): Promise<readonly string[]> {
  const members = await listOrNone(effects, `/sys/kernel/iommu_groups/${group}/devices`);
  const isBridge = await Promise.all(
    members.map(async (name) => {
      if (!isBdfName(name)) return false;
      const code = await readAttribute(effects, `${devicePath(name)}/class`);
      return code !== undefined && isBridgeClass(parseInt(code, 16));
    }),
  );
  return members.filter((_, index) => isBridge[index] === false).sort();
}

async function ownerOfCdev(effects: HostEffects, cdev: string): Promise<readonly string[]> {
  const target = await followLinks(effects, `/sys/class/vfio-dev/${cdev}`);
  if (target !== undefined) return namesAt(effects, target);
  for (const bus of ['/sys/bus/pci/devices', '/sys/bus/mdev/devices']) {
    for (const name of await listOrNone(effects, bus)) {
      if (await exists(effects, `${bus}/${name}/vfio-dev/${cdev}`)) return [name];
    }
  }
  return [];
}
