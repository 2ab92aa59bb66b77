import type { HostEffects } from '../host/effects.js';
import { ifPresent, listOrNone } from '../host/reading.js';
import { libvirtListOf } from '../host/setup/edits/index.js';
import { seen, type Evidence } from './finding.js';

/** What the control group of a process says of a device node. */
export type DevicePolicy =
  | { readonly kind: 'open'; readonly why: string; readonly read: Evidence }
  | {
      readonly kind: 'closed' | 'unknown';
      readonly why: string;
      readonly remedy: string;
      readonly read: Evidence;
    };

const V1 = '/sys/fs/cgroup/devices';
const LIBVIRT = '/etc/libvirt/qemu.conf';

/**
 * With the first version of control groups the kernel shows its list. The second has programs, which nobody can
 * read: then it is told by who made the group, a unit of systemd or libvirt.
 */
export async function readDevicePolicy(
  effects: HostEffects,
  pid: number,
  node: string,
): Promise<DevicePolicy> {
  const path = `/proc/${pid}/cgroup`;
  const lines = (await effects.read(path)).trim().split('\n');
  const of = (controller: string) =>
    lines
      .map((line) => line.split(':'))
      .find((parts) => parts[1]?.split(',').includes(controller))?.[2];
  const v1 = of('devices');
  if (v1 !== undefined) return readV1(effects, v1, node);
  const v2 = lines.find((line) => line.startsWith('0::'))?.slice('0::'.length) ?? '/';
  const read = seen(path, v2);
  if (v2 === '/') return { kind: 'open', why: 'it is in the first control group', read };
  if (/\/machine(?:\.slice)?\//.test(v2) && /qemu|libvirt/.test(v2))
    return readLibvirt(effects, node, read);
  return readUnit(effects, v2, node, read);
}

/** Lines such as `a *:* rwm` and `c 243:0 rw`: Documentation/admin-guide/cgroup-v1/devices.rst. */
async function readV1(effects: HostEffects, group: string, node: string): Promise<DevicePolicy> {
  const path = `${V1}${group === '/' ? '' : group}/devices.list`;
  const list = await effects.read(path);
  const rdev = (await ifPresent(effects.stat(node)))?.rdev;
  const rules = list.split('\n').map((line) => /^([abc]) (\*|\d+):(\*|\d+) (\w+)/.exec(line));
  const read = seen(path, list.trim().replaceAll('\n', '; '));
  const passes = rules.some((rule) => {
    const [, type, major, minor, modes = ''] = rule ?? [];
    const fits = (word: string | undefined, number: number | undefined) =>
      word === '*' || (number !== undefined && word === String(number));
    const may = modes.includes('r') && modes.includes('w');
    if (type === 'a') return true;
    return type === 'c' && may && fits(major, rdev?.major) && fits(minor, rdev?.minor);
  });
  if (passes) return { kind: 'open', why: 'its control group lets it in', read };
  const remedy = `DeviceAllow=${node} rw in its unit, or: virsh attach-device`;
  return rdev === undefined
    ? { kind: 'unknown', why: `${node} is not there yet`, remedy, read }
    : { kind: 'closed', why: `its control group does not let it open ${node}`, remedy, read };
}

async function readLibvirt(
  effects: HostEffects,
  node: string,
  read: Evidence,
): Promise<DevicePolicy> {
  const text = await ifPresent(effects.read(LIBVIRT));
  const list = text === undefined ? undefined : libvirtListOf(text, 'cgroup_device_acl');
  if (list?.includes(node) || list?.includes('/dev/vfio/*')) {
    return { kind: 'open', why: `${LIBVIRT} lists it`, read: seen(LIBVIRT, node) };
  }
  const remedy = `add "${node}" to cgroup_device_acl in ${LIBVIRT}, or: virsh attach-device`;
  const why = 'libvirt filters its devices, and does not list the node';
  return { kind: 'closed', why, remedy, read };
}

/** systemd filters devices where the unit asks for it: systemd.resource-control(5). */
async function readUnit(
  effects: HostEffects,
  group: string,
  node: string,
  read: Evidence,
): Promise<DevicePolicy> {
  const unit = group.split('/').findLast((part) => /^[\w:.@\\-]+\.(service|scope)$/.test(part));
  const texts = unit === undefined ? [] : await readFragments(effects, unit);
  const remedy = `DeviceAllow=${node} rw in its unit`;
  if (unit === undefined || texts.length === 0) {
    return { kind: 'unknown', why: `nothing tells what ${group} filters`, remedy, read };
  }
  const settings = texts.flatMap((text) =>
    [...text.matchAll(/^(DevicePolicy|DeviceAllow|PrivateDevices)=(.*)$/gm)].map(
      ([, key = '', value = '']) => ({ key, value: value.trim() }),
    ),
  );
  const last = (key: string) => settings.findLast((each) => each.key === key)?.value;
  const allowed = settings.flatMap(({ key, value }) => (key === 'DeviceAllow' ? [value] : []));
  const filters =
    ['closed', 'strict'].includes(last('DevicePolicy') ?? '') ||
    /^(yes|true|1|on)$/.test(last('PrivateDevices') ?? '') ||
    allowed.some((value) => value !== '');
  if (!filters) return { kind: 'open', why: `${unit} filters no devices`, read };
  const isListed = allowed.some((value) => {
    const [what = '', modes = 'rwm'] = value.split(/\s+/);
    return (what === node || what === 'char-vfio') && modes.includes('r') && modes.includes('w');
  });
  return isListed
    ? { kind: 'open', why: `${unit} lists it`, read: seen(unit, `DeviceAllow=${node}`) }
    : { kind: 'closed', why: `${unit} filters devices, and does not list the node`, remedy, read };
}

const UNITS = ['/usr/lib/systemd/system', '/etc/systemd/system', '/run/systemd/transient'];

/** The unit's file and its drop-ins, later ones last. */
async function readFragments(effects: HostEffects, unit: string): Promise<readonly string[]> {
  const texts: string[] = [];
  const add = async (path: string) => {
    const text = await ifPresent(effects.read(path));
    if (text !== undefined) texts.push(text);
  };
  for (const folder of UNITS) {
    await add(`${folder}/${unit}`);
    const dropIns = (await listOrNone(effects, `${folder}/${unit}.d`)).filter((name) =>
      name.endsWith('.conf'),
    );
    for (const name of [...dropIns].sort()) await add(`${folder}/${unit}.d/${name}`);
  }
  return texts;
}
