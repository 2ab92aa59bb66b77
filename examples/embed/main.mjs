// A shim to try by hand, on any QEMU with a monitor and a free port:
//
//   node examples/embed/main.mjs add /run/vm.sock '{"emulate":{"driver":"pci-testdev"},"id":"d0"}'
//   node examples/embed/main.mjs remove /run/vm.sock d0
//
// SIGTERM stops the waiting. Prints one JSON document; ends with status 1 when it tells an error. STATE_DIR
// holds the journal and the locks in place of /run/qmplug, for a trial without root.
import { createEnvironment } from 'qmplug';
import { addDevice, explain, removeDevice } from './shim.mjs';

const [operation, address = '', subject = ''] = process.argv.slice(2);
const { STATE_DIR: directory } = process.env;
const end = new AbortController();
process.once('SIGTERM', () => end.abort());

const sandbox = {
  address,
  environment: createEnvironment({ stateDir: directory, runDir: directory }),
  signal: end.signal,
};

try {
  const result =
    operation === 'add'
      ? await addDevice(sandbox, JSON.parse(subject))
      : await removeDevice(sandbox, subject);
  console.log(JSON.stringify(result));
} catch (error) {
  console.log(JSON.stringify(explain(error)));
  process.exitCode = 1;
}
