// The lab's kernel from the command line: `find` prints its release or exits 1, `fetch` downloads the
// suite's current one, `where` prints the directory that keeps them.
import { fetchKernel, findKernel, kernelCache } from './lab/kernel.mjs';

const actions = {
  find: async () => findKernel()?.release,
  fetch: async () => `kernel ${(await fetchKernel()).release} is in ${kernelCache()}`,
  where: async () => kernelCache(),
};

const name = process.argv[2] ?? '';
if (!Object.hasOwn(actions, name)) throw new Error(`usage: kernel.mjs find|fetch|where`);
const answer = await actions[name]();
if (answer === undefined) process.exitCode = 1;
else console.log(answer);
