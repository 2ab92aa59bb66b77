// What a soak looks at between cycles: memory, open files and everything that has a name.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/** Sockets count as open files: whether one is active is a matter of the moment. */
const COUNTED_RESOURCES = new Set(['Timeout', 'Immediate', 'FSEventWrap', 'StatWatcher']);

/** Bytes. @typedef {{ heap: number, rss: number, qemuRss: number }} Memory */

/**
 * Memory of this process, its garbage collected, and of QEMU.
 *
 * @param {number} qemuPid
 * @returns {Promise<Memory>}
 */
export async function readMemory(qemuPid) {
  // What a finalizer lets go of is garbage for the second time only.
  for (let turn = 0; turn < 2; turn += 1) {
    collectGarbage();
    await nextTurn();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss, qemuRss: anonymousBytes(qemuPid) };
}

/** Without the pages of files: those of the guest's RAM are anonymous too, and settle. @param {number} pid */
function anonymousBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/**
 * Everything countable that a cycle may leave behind, one name each; equal lists mean that nothing stayed.
 *
 * @param {object} of
 * @param {import('../lab/qemu.mjs').Qemu} of.qemu
 * @param {readonly string[]} of.directories of state
 * @param {() => number} of.listenerCount
 * @returns {Promise<readonly string[]>} sorted
 */
export async function listTraces({ qemu, directories, listenerCount }) {
  const { qmp, pid } = qemu;
  // They are kept for waits of the lab that a soak does not have.
  qmp.events.length = 0;
  const tree = await qmp.execute('human-monitor-command', { 'command-line': 'info qom-tree' });
  const lists = await Promise.all(
    ['query-chardev', 'query-fdsets', 'query-memdev', 'query-block', 'query-iothreads'].map(
      async (command) => [command, await qmp.execute(command)],
    ),
  );
  const buses = await qmp.execute('query-pci');
  return [
    ...withParents(String(tree)),
    ...lists.flatMap(([command, list]) =>
      list.map((/** @type {unknown} */ each) => `${command}: ${nameOf(each)}`),
    ),
    ...buses.flatMap((/** @type {any} */ bus) => functionsOf(bus)),
    ...filesOf(pid).map((file) => `QEMU has open: ${file}`),
    ...filesOf(process.pid).map((file) => `we have open: ${file}`),
    ...directories.flatMap((directory) =>
      readdirSync(directory, { recursive: true }).map((name) => `file: ${String(name)}`),
    ),
    ...Array.from({ length: listenerCount() }, () => 'a listener to events'),
    ...process
      .getActiveResourcesInfo()
      .filter((kind) => COUNTED_RESOURCES.has(kind))
      .map((kind) => `resource: ${kind}`),
  ].sort();
}

/** Lines of a tree drawn by indentation, as paths. @param {string} tree */
function withParents(tree) {
  /** @type {string[]} */
  const path = [];
  return tree
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => {
      path.length = line.search(/\S/) / 2;
      path.push(line.trim());
      return `object: ${path.join('')}`;
    });
}

/** @param {any} item of a list of QEMU's */
function nameOf(item) {
  return item.label ?? item.id ?? item.device ?? item['fdset-id'] ?? JSON.stringify(item);
}

/** @param {{ bus: number, devices?: readonly any[] }} bus @returns {readonly string[]} */
function functionsOf({ devices = [] }) {
  return devices.flatMap((device) => [
    `PCI function: ${device.slot}.${device.function} ${device.qdev_id}`,
    ...functionsOf(device.pci_bridge ?? { bus: 0 }),
  ]);
}

/** What is open, by kind: the number of a socket is another each time. @param {number} pid */
function filesOf(pid) {
  return readlinks(`/proc/${pid}/fd`).map((target) => target.replace(/:\[\d+\]$/, ''));
}

/** @param {string} directory @returns {readonly string[]} */
function readlinks(directory) {
  return readdirSync(directory).flatMap((name) => {
    try {
      const target = readlinkSync(`${directory}/${name}`);
      // The listing itself has the directory open.
      return target === directory ? [] : [target];
    } catch {
      return [];
    }
  });
}
