// Unbinds a device that a VM has open, which nothing in qmplug would do after its checks: the write blocks until
// the VM lets go. Twice, the second time with another process's eyes.
//
//   node stuck-unbind.mjs 0000:00:06.0 2000
//
// Prints one JSON document: the codes of both tries, the process that is still at the first, and what the
// kernel said of it.
import { createEnvironment } from '../../build/index.js';
import { Quarantine } from '../../build/host/quarantine.js';
import { withQuarantine } from '../../build/host/quarantined-effects.js';

const [bdf, deadlineMs] = process.argv.slice(2);
const { effects, runtime, liveness } = createEnvironment();
const guarded = withQuarantine(effects, new Quarantine(runtime, liveness));

async function unbind() {
  const startedAt = performance.now();
  const path = `/sys/bus/pci/devices/${bdf}/driver/unbind`;
  try {
    await guarded.write(path, bdf, { deadlineMs: Number(deadlineMs) });
    return { code: 'none' };
  } catch ({ code, childPid, details }) {
    const { kernelLog } = details;
    return { code, childPid, kernelLog, atOnce: performance.now() - startedAt < deadlineMs / 2 };
  }
}

const tries = [await unbind(), await unbind()];
process.stdout.write(`${JSON.stringify({ tries })}\n`);
