// node vms.mjs DIRECTORY COUNT: that many simulated VMs, each with its monitor at DIRECTORY/<number>.sock.
import { createServer } from 'node:net';
import { on, setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { GUESTS, rootPorts, serveSimulated } from '../../dist/testing.js';

const [directory = '.', count = '1'] = process.argv.slice(2);
const { signal } = new AbortController();
setMaxListeners(0, signal);
const clock = {
  now: () => performance.now(),
  after(/** @type {number} */ delayMs, /** @type {() => void} */ callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
for (let index = 0; index < Number(count); index += 1) {
  const address = join(directory, `${index}.sock`);
  const server = createServer();
  await new Promise((resolve) => server.listen(address, () => resolve(undefined)));
  serveSimulated({
    config: {
      hotplug: 'native',
      guest: GUESTS.absent,
      startPaused: true,
      devices: rootPorts(8, { firstDevice: 2 }),
    },
    seed: index,
    clock,
    signal,
    monitors: [{ address, clients: clientsOf(server) }],
  });
}
console.log('ready');

/** @param {import('node:net').Server} server */
async function* clientsOf(server) {
  for await (const [client] of on(server, 'connection')) {
    yield /** @type {import('node:net').Socket} */ (client);
  }
}
