// node controller.mjs DIRECTORY COUNT: opens the VMs of vms.mjs, all at once, and tells what that took, as JSON.
import { join } from 'node:path';
import { createEnvironment, openVm } from '../../dist/index.js';

const [directory = '.', count = '1'] = process.argv.slice(2);
const environment = createEnvironment({
  stateDir: join(directory, 'state'),
  runDir: join(directory, 'run'),
});
const start = performance.now();
const vms = await Promise.all(
  Array.from({ length: Number(count) }, (_, index) =>
    openVm(join(directory, `${index}.sock`), { environment }),
  ),
);
const seconds = (performance.now() - start) / 1_000;
// The most that was ever in use, not what happens to be left.
const megabytes = process.resourceUsage().maxRSS / 1_000;
console.log(JSON.stringify({ seconds, megabytes }));
for (const vm of vms) await vm.close();
