// Everything on the host and in the VM that an operation may touch, by name: what a kill must not leave otherwise.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

const orNone = (read) => {
  try {
    return read();
  } catch {
    return 'none';
  }
};

/**
 * Everything below a directory of ours, its own folders left out; plans have a name of their own each time. A
 * directory that is not there yet has nothing in it.
 */
const files = (root) => {
  const entries = orNone(() => readdirSync(root, { recursive: true, withFileTypes: true }));
  if (entries === 'none') return '';
  return entries
    .filter((entry) => entry.parentPath !== root || !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .map((name) => name.replace(/^plans\/[0-9a-f]{12}-[0-9a-f]{8}\./, 'plans/PLAN.'))
    .sort()
    .join();
};

/**
 * @param {{ observer: import('../../dist/qmp/index.js').QmpSession, qemuPid: number,
 *   environment: import('../../dist/index.js').Environment }} of
 * @returns {Promise<Record<string, unknown>>}
 */
export async function worldState({ observer, qemuPid, environment }) {
  const state = {};
  for (const bdf of orNone(() => readdirSync('/sys/bus/pci/devices'))) {
    const device = join('/sys/bus/pci/devices', bdf);
    state[`${bdf} driver`] = orNone(() => basename(readlinkSync(join(device, 'driver'))));
    state[`${bdf} override`] = orNone(() => readFileSync(join(device, 'driver_override'), 'utf8'));
  }
  for (const node of [orNone(() => readdirSync('/dev/vfio'))].flat()) {
    const { uid, gid, mode } = orNone(() => lstatSync(join('/dev/vfio', node)));
    state[`/dev/vfio/${node}`] = `${uid}:${gid} ${mode?.toString(8)}`;
  }
  const limits = readFileSync(`/proc/${qemuPid}/limits`, 'utf8');
  state.memlock = /Max locked memory.*/.exec(limits)?.[0];
  const entries = await observer.execute('qom-list', { path: '/machine/peripheral' });
  for (const { name, type } of entries) {
    if (!type.startsWith('child<')) continue;
    const path = `/machine/peripheral/${name}`;
    const [bus, addr] = await Promise.all([
      observer.execute('qom-get', { path, property: 'parent_bus' }),
      observer.execute('qom-get', { path, property: 'addr' }),
    ]);
    state[`device ${name}`] = `${type} on ${bus} at ${addr}`;
  }
  state['state directory'] = files(environment.state.location);
  state['run directory'] = files(environment.runtime.location);
  return state;
}

/** @param {Record<string, unknown>} expected @param {Record<string, unknown>} actual */
export function difference(expected, actual) {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
  const lines = names
    .filter((name) => expected[name] !== actual[name])
    .map((name) => `${name}: ${actual[name]} instead of ${expected[name]}`);
  return lines.length === 0 ? undefined : lines.join('; ');
}
