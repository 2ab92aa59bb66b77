// Child processes and run directories that do not outlive the process that made them.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set();
/** @type {Set<string>} */
const runDirectories = new Set();

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of runDirectories) rmSync(directory, { recursive: true, force: true });
});

/**
 * Makes a directory for the sockets and disks of one machine. It is removed by
 * {@link removeRunDirectory}, at the latest when this process exits.
 */
export function makeRunDirectory() {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-lab-'));
  runDirectories.add(directory);
  return directory;
}

/** @param {string} directory */
export function removeRunDirectory(directory) {
  runDirectories.delete(directory);
  rmSync(directory, { recursive: true, force: true });
}

/**
 * Starts a program that ends when this process ends, however that happens: the kernel sends it
 * SIGKILL (PR_SET_PDEATHSIG, set by util-linux's `setpriv`, which then becomes the program).
 * Its standard output and error are pipes, its input is empty.
 *
 * @param {string} command
 * @param {readonly string[]} args
 */
export function spawnTied(command, args) {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/**
 * Ends a child by its own pid and waits until it is gone.
 *
 * @param {import('node:child_process').ChildProcess} child
 */
export async function endChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
