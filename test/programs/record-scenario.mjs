// Runs a scenario of test/replay on a real QEMU with a real host, and prints what was said, in one JSON document.
//
//   node record-scenario.mjs SCENARIO MONITOR OTHER-MONITOR PID
import { readdir, readlink, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as qmplug from '../../dist/index.js';
import { connectQmp } from '../../dist/qmp/index.js';
import * as testing from '../../dist/testing.js';
import { recordingStage } from '../../scripts/lab/recording-stage.mjs';
import { runScenario } from '../replay/run-scenario.mjs';
import { SCENARIOS } from '../replay/scenarios.mjs';

const [name = '', qmpPath = '', otherPath = '', qemuPid = ''] = process.argv.slice(2);
const scenario = SCENARIOS.find((each) => each.name === name);
if (!scenario) throw new Error(`no scenario ${name}`);

const { effects, liveness } = qmplug.createEnvironment();
const other = await connectQmp(otherPath);
const { stage, entries, faults } = recordingStage({
  qmpPath,
  execute: (command, args) => other.execute(command, args),
});
// What QEMU has open is looked at again after a while, and what it says meanwhile depends on chance. It says
// when a device has gone, and has closed its node by then.
stage.soon = () => () => undefined;
stage.host = {
  effects,
  liveness,
  identity: await identityOf(Number(qemuPid)),
  snapshot,
  stop: () => undefined,
};
const run = await runScenario(scenario, { ...qmplug, ...testing }, stage);
await other.close();
process.stdout.write(qmplug.stringifyJson({ run, entries, faults: faults.map(String) }));

/** Field 22 of /proc/<pid>/stat is the start time; the name before it may hold anything. */
async function identityOf(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return { kind: 'process', ...(await liveness.self()), pid, startTime };
}

/** Drivers, overrides, and the nodes of VFIO with their owners. */
async function snapshot() {
  const devices = '/sys/bus/pci/devices';
  const lines = (await readdir(devices)).map(async (bdf) => {
    const driver = await readlink(join(devices, bdf, 'driver')).catch(() => 'none');
    const override = await readFile(join(devices, bdf, 'driver_override'), 'utf8');
    return `${bdf} ${driver} ${override.trim()}`;
  });
  const nodes = [
    '/dev/iommu',
    ...(await nodesIn('/dev/vfio')),
    ...(await nodesIn('/dev/vfio/devices')),
  ];
  const owners = nodes.map(async (node) => {
    const { uid, gid, mode } = await stat(node);
    return `${node} ${uid}:${gid} ${mode.toString(8)}`;
  });
  return (await Promise.all([...lines, ...owners])).sort().join('\n');
}

async function nodesIn(directory) {
  const names = await readdir(directory).catch(() => []);
  return names.filter((each) => each !== 'devices').map((each) => join(directory, each));
}
