// Binds and releases devices from random states; nothing may be left of it.
//
//   node bind-identity.mjs '{"devices":["0000:00:05.0"],"rounds":8,"seed":1}'
//
// Prints a JSON line for each round: {setup, problem?}.
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createEnvironment, HostControl } from '../../dist/index.js';

const { devices, rounds, seed } = JSON.parse(process.argv[2]);
const host = new HostControl(createEnvironment());
const path = (bdf, name) => `/sys/bus/pci/devices/${bdf}/${name}`;

/** Lehmer's generator (Park and Miller, 1988): the same rounds for the same seed. */
let state = seed;
function pick(choices) {
  state = (state * 48271) % 2147483647;
  return choices[state % choices.length];
}

function driverOf(bdf) {
  return existsSync(path(bdf, 'driver')) ? basename(readlinkSync(path(bdf, 'driver'))) : 'none';
}

const look = () =>
  devices.map(
    (bdf) => `${bdf} ${driverOf(bdf)} ${readFileSync(path(bdf, 'driver_override'), 'utf8').trim()}`,
  );

function put(bdf, driver, override) {
  if (driverOf(bdf) !== 'none') writeFileSync(path(bdf, 'driver/unbind'), bdf);
  if (driver !== 'none') {
    writeFileSync(path(bdf, 'driver_override'), driver === 'native' ? '\n' : driver);
    writeFileSync('/sys/bus/pci/drivers_probe', bdf);
  }
  writeFileSync(path(bdf, 'driver_override'), override === '' ? '\n' : override);
}

for (let round = 0; round < rounds; round += 1) {
  for (const bdf of devices) {
    put(
      bdf,
      pick(['native', 'native', 'none', 'pci-stub', 'vfio-pci']),
      pick(['', '', 'absent-driver', 'vfio-pci', 'pci-stub']),
    );
  }
  const before = look();
  const line = { setup: before };
  try {
    await host.bind({ devices });
    if (devices.some((bdf) => driverOf(bdf) !== 'vfio-pci')) line.problem = look().join('; ');
    await host.release({ devices });
    const after = look();
    if (after.join() !== before.join()) line.problem = `afterwards ${after.join('; ')}`;
  } catch (error) {
    line.problem = error.stack;
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
for (const bdf of devices) put(bdf, 'native', '');
