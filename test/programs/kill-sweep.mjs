// Kills an attach and a detach at every step boundary and mends what is left, on a real VM.
//
//   node kill-sweep.mjs '{"address":..., "otherAddress":..., "request":{...}, "qemuPid":N, "only":"attach"}'
//
// The killed operations are processes of their own; the mending is done here, in turn by the same
// command and by `recover`; `odd` swaps the turns. `sweep` names
// what is killed: attach, detach. Prints a JSON line for each boundary: {operation, boundary, mend, problem?}.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createEnvironment, openVm } from '../../dist/index.js';
import { connectQmp } from '../../dist/qmp/index.js';
import { difference, worldState } from './world-state.mjs';

const {
  address,
  otherAddress,
  request,
  qemuPid,
  stateDir,
  runDir,
  odd = false,
  sweep = ['attach', 'detach'],
} = JSON.parse(process.argv[2]);
const environment = createEnvironment({ stateDir, runDir });
const observer = await connectQmp(otherAddress);
const world = { observer, qemuPid, environment };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
async function withVm(work) {
  const vm = await openVm(address, { environment });
  try {
    return await work(vm);
  } finally {
    await vm.close();
  }
}

const id = request.id ?? request.device;
const operations = {
  attach: (vm) => vm.attach(request),
  detach: (vm) => vm.detach(id),
  recover: (vm) => vm.recover(),
};

/** Runs an operation in a process that dies at its Nth boundary; the boundary, or undefined if it ended before. */
async function killedAt(operation, killAt) {
  const specification = { address, do: operation, request, what: id, killAt, stateDir, runDir };
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'operate.mjs'), JSON.stringify(specification)],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
  if (signal === 'SIGKILL') return true;
  if (!output.includes('"ok"')) throw new Error(`${operation} failed by itself: ${output}`);
  return false;
}

/** An attach that is still being taken back is told, and goes first, as the remedy says. */
async function mendBy(operation) {
  try {
    await withVm(operations[operation]);
  } catch (error) {
    if (operation !== 'attach' || error.code !== 'STILL_PENDING') throw error;
    await withVm(operations.detach);
    await withVm(operations.attach);
  }
}

const detached = await worldState(world);
await withVm(operations.attach);
const attached = await worldState(world);
await withVm(operations.detach);
const problem = difference(detached, await worldState(world));
say({ operation: 'detach', boundary: 'none', mend: 'none', problem });

for (const operation of sweep) {
  const [before, after] = operation === 'attach' ? [detached, attached] : [attached, detached];
  for (let boundary = 0; ; boundary += 1) {
    if (operation === 'detach') await withVm(operations.attach);
    if (!(await killedAt(operation, boundary))) {
      if (operation === 'attach') await withVm(operations.detach);
      break;
    }
    const mend = (boundary % 2 === 0) === odd ? 'recover' : operation;
    await mendBy(mend);
    const state = await worldState(world);
    // A recovery may go either way, but all the way.
    const goals = mend === 'recover' ? [before, after] : [after];
    const differences = goals.map((goal) => difference(goal, state));
    const wrong = differences.every((each) => each !== undefined) ? differences[0] : undefined;
    say({ operation, boundary, mend, problem: wrong });
    if (difference(detached, state) === undefined) continue;
    await withVm(operations.detach);
    const leftOver = difference(detached, await worldState(world));
    if (leftOver !== undefined) say({ operation, boundary, mend: 'detach', problem: leftOver });
  }
}
await observer.close();
