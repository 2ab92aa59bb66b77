// Host set-up of an image's directory as a process of its own, which a test can have killed at any step boundary.
//
//   node set-up.mjs '{"root":"/tmp/image","stateDir":...,"runDir":...,"do":"apply","desired":{...},"killAt":3}'
//
// `killAt` N ends the process with SIGKILL at the Nth boundary, counted from 0. Prints one JSON document.
import { createFileStore } from '../../build/engine/index.js';
import {
  applyHost,
  createSetupHost,
  readDesiredState,
  rollbackHost,
} from '../../build/host/setup/index.js';
import { createEnvironment } from '../../build/hotplug/environment.js';

const { root, stateDir, runDir, killAt, desired, ...operation } = JSON.parse(
  process.argv[2] ?? '{}',
);
let count = 0;
const { effects } = createEnvironment({
  runDir,
  roots: { sysfs: `${root}/sys`, proc: `${root}/proc`, dev: `${root}/dev` },
});
// Whoever holds the lock is a process of this machine, and not of the image.
const { runtime, liveness, clock } = createEnvironment({ runDir });
const environment = {
  host: createSetupHost({ root, architecture: 'x86_64' }),
  effects,
  state: createFileStore(stateDir, { durable: true }),
  runtime,
  liveness,
  clock,
  onBoundary: () => {
    if (count === killAt) process.kill(process.pid, 'SIGKILL');
    count += 1;
  },
};
const result =
  operation.do === 'apply'
    ? await applyHost(environment, readDesiredState(desired))
    : await rollbackHost(environment);
console.log(JSON.stringify({ count, refused: result.refused ?? [] }));
