// The lab's kernel from the command line: `find` prints its release or exits 1, `fetch` downloads the
// suite's current one, `where` prints the directory that keeps them; `find-mtty` and `build-mtty` do the same for
// its sample driver of mediated devices.
import { fetchKernel, findKernel, kernelCache } from './lab/kernel.mjs';
import { buildMtty, findMtty } from './lab/samples.mjs';

const actions = {
  find: async () => findKernel()?.release,
  fetch: async () => `kernel ${(await fetchKernel()).release} is in ${kernelCache()}`,
  where: async () => kernelCache(),
  'find-mtty': async () => findMtty(),
  'build-mtty': async () => `mtty is in ${await buildMtty()}`,
};

const name = process.argv[2] ?? '';
if (!Object.hasOwn(actions, name))
  throw new Error(`usage: kernel.mjs find|fetch|where|find-mtty|build-mtty`);
const answer = await actions[name]();
if (answer === undefined) process.exitCode = 1;
else console.log(answer);
