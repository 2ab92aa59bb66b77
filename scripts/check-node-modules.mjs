// Exits 1, with the reason, when node_modules is not what package-lock.json asks for.
import { existsSync, readFileSync } from 'node:fs';

/**
 * Packages by their place. npm leaves the second file when it installs; it has what is really there.
 *
 * @param {string} path
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean, link?: boolean }>}
 */
const packagesOf = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;

function whyStale() {
  const record = 'node_modules/.package-lock.json';
  if (!existsSync(record)) return 'node_modules is missing';
  const installed = packagesOf(record);
  for (const [place, wanted] of Object.entries(packagesOf('package-lock.json'))) {
    if (place === '' || wanted.link) continue;
    const found = installed[place];
    // Optional ones are left out where they are for another platform.
    if (!found && wanted.optional) continue;
    if (found?.version !== wanted.version || !existsSync(place)) {
      return `${place} is ${found?.version ?? 'missing'}, ${wanted.version} is wanted`;
    }
  }
  return undefined;
}

const reason = whyStale();
if (reason) {
  console.log(`setup: ${reason}`);
  process.exitCode = 1;
}
