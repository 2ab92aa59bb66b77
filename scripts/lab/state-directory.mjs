// Where a program of the lab keeps the controller's state.
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Makes a directory in memory where there is such a place, as /run is on a host: on a disk every lock costs
 * milliseconds.
 *
 * @param {string} name
 */
export function makeStateDirectory(name) {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `qmplug-${name}-`));
}
