// One operation of the library as a process of its own, which a test can have killed at any step boundary.
//
//   node operate.mjs '{"address":"/run/vm.sock","do":"attach","request":{...},"killAt":3}'
//
// Prints one JSON document: {ok} or {error}. `killAt` N ends the process with SIGKILL at the Nth boundary,
// counted from 0; `listBoundaries` adds those that were passed. `intrude` {at, address, command, arguments}
// has somebody else run a command on another monitor when that boundary is reached.
import { createEnvironment, openVm, recoverHost, stringifyJson } from '../../dist/index.js';
import { connectQmp } from '../../dist/qmp/index.js';

const { address, killAt, stateDir, runDir, listBoundaries, intrude, ...operation } = JSON.parse(
  process.argv[2] ?? '{}',
);
const boundaries = [];
const environment = createEnvironment({
  stateDir,
  runDir,
  onBoundary: async ({ kind, turn, at }) => {
    const name = `${turn} ${kind} ${at}`;
    boundaries.push(name);
    if (intrude?.at === name) await runElsewhere(intrude);
    if (boundaries.length - 1 === killAt) process.kill(process.pid, 'SIGKILL');
  },
});

async function runElsewhere({ address: other, command, arguments: args }) {
  const session = await connectQmp(other);
  await session.execute(command, args);
  await session.close();
}

async function operate() {
  if (operation.do === 'recoverHost') return recoverHost(environment);
  const { connectTimeoutMs } = operation;
  const vm = await openVm(address, { environment, connectTimeoutMs });
  try {
    return await operateOn(vm);
  } finally {
    await vm.close();
  }
}

function operateOn(vm) {
  switch (operation.do) {
    case 'attach':
      return vm.attach(operation.request, operation.options);
    case 'detach':
      return vm.detach(operation.what, operation.options);
    case 'recover':
      return vm.recover(operation.options);
    case 'status':
      return vm.status(operation.options);
    default:
      throw new Error(`no operation ${operation.do}`);
  }
}

const plain = (value) =>
  JSON.parse(JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}` : each)));
const more = listBoundaries ? { boundaries } : {};
try {
  const ok = await operate();
  process.stdout.write(`${stringifyJson({ ok: plain(ok), ...more })}\n`);
} catch (error) {
  const { name, code, message, remedy, details, steps } = error;
  const described = { name, code, message, remedy, details, steps, stack: error.stack };
  process.stdout.write(`${stringifyJson({ error: plain(described), ...more })}\n`);
  process.exitCode = 1;
}
