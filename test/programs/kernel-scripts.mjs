// Runs scripts of sysfs writes on this host's kernel.
//
//   node kernel-scripts.mjs '{"scripts":[[{"write":...}]],"places":{"nic":"0000:00:07.0"}}'
//
// Prints one JSON document: what each line of each script yielded.
import { createEnvironment } from '../../dist/index.js';
import { runScript } from './run-script.mjs';

const { scripts, places } = JSON.parse(process.argv[2]);
const { effects } = createEnvironment();
const results = [];
for (const lines of scripts) results.push(await runScript(effects, lines, places));
process.stdout.write(`${JSON.stringify(results)}\n`);
