// Everything on the host and in the VM that an operation may touch, by name: what a kill must not leave otherwise.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

const orNone = (read) => {
  try {
    return read();
  } catch {
    return 'none';
  }
};

const files = (root, folder) =>
  [orNone(() => readdirSync(join(root, folder)))].flat().filter((name) => name !== 'none');

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
  state.reservations = files(environment.runtime.location, 'reservations').join();
  state.planCount = files(environment.state.location, 'plans').length;
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
