// The lab's kernels from the command line: `find` prints the release of this architecture's or exits 1, `fetch`
// downloads the suite's current one, `where` prints the directory that keeps them; `find-mtty` and
// `build-mtty` do the same for its sample driver of mediated devices, `find-iommufd` and `build-iommufd` for the
// kernel that has iommufd. `missing` prints the other
// architectures that have none yet, `fetch-missing` downloads theirs.
import { ARCHITECTURES } from './lab/architectures.mjs';
import { fetchForeignKernel, findForeignKernel } from './lab/foreign-kernel.mjs';
import { buildIommufdKernel, findIommufdKernel } from './lab/iommufd-kernel.mjs';
import { fetchKernel, findKernel, kernelCache } from './lab/kernel.mjs';
import { buildMtty, findMtty } from './lab/samples.mjs';

const names = /** @type {import('./lab/architectures.mjs').ArchitectureName[]} */ (
  Object.keys(ARCHITECTURES)
);
const missing = () => names.filter((name) => findForeignKernel(name) === undefined);

const actions = {
  find: async () => findKernel()?.release,
  fetch: async () => `kernel ${(await fetchKernel()).release} is in ${kernelCache()}`,
  where: async () => kernelCache(),
  'find-mtty': async () => findMtty(),
  'build-mtty': async () => `mtty is in ${await buildMtty()}`,
  'find-iommufd': async () => findIommufdKernel()?.release,
  'build-iommufd': async () =>
    `kernel ${(await buildIommufdKernel()).release} with iommufd is built`,
  missing: async () => missing().join('\n'),
  'fetch-missing': async () => {
    for (const name of missing()) {
      console.log(`kernel ${(await fetchForeignKernel(name)).release} for ${name}`);
    }
    return 'all kernels are there';
  },
};

const name = process.argv[2] ?? '';
if (!Object.hasOwn(actions, name)) {
  throw new Error(`usage: kernel.mjs ${Object.keys(actions).join('|')}`);
}
// Checked in the line above.
const answer = await actions[/** @type {keyof typeof actions} */ (name)]();
if (answer === undefined) process.exitCode = 1;
else if (answer !== '') console.log(answer);
