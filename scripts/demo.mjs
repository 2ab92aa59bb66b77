// The demonstration: an emulated device given to a running Linux guest and taken back; with --vfio also
// a device of a host, through vfio-pci; with --simulated on the simulator, for a machine without QEMU. Run by scripts/demo.sh, which builds `dist` first. Ends with
// status 1 when anything is not as told.
import { parseArgs } from 'node:util';
import { showEmulated } from './demo/emulated.mjs';
import { showSimulated } from './demo/simulated.mjs';
import { Stage } from './demo/stage.mjs';
import { showVfio } from './demo/vfio.mjs';
import { requireCapability } from './lab/capability.mjs';

const stage = new Stage();
try {
  const flag = /** @type {const} */ ({ type: 'boolean', default: false });
  const { values } = parseArgs({ options: { vfio: flag, simulated: flag } });
  if (values.simulated) {
    await showSimulated(stage);
  } else {
    requireCapability(values.vfio ? 'vfio-host' : 'guest');
    await showEmulated(stage);
    if (values.vfio) await showVfio(stage);
  }
  console.log(`\nDone in ${stage.seconds()} s: ${stage.checkCount} checks, all as expected.`);
  if (!values.vfio && !values.simulated) {
    console.log('The same through vfio-pci, in a nested host: npm run demo -- --vfio');
  }
} catch (error) {
  console.error(`\ndemo FAILED after ${stage.seconds()} s: ${messageOf(error)}`);
  process.exitCode = 1;
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
