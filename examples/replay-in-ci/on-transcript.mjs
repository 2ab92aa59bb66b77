// Runs code on a VM that says what a transcript says. No QEMU, no sockets, no root.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEnvironment, openVm } from 'qmplug';
import { createPlayer, parseTranscript } from 'qmplug/testing';

/**
 * @template T
 * @param {string} file the transcript
 * @param {(vm: import('qmplug').Vm) => Promise<T>} work what is done to the VM
 * @returns {Promise<T>}
 * @throws {TranscriptMismatchError} when the work said something else than was recorded, or not all of it.
 */
export async function onTranscript(file, work) {
  const player = createPlayer(parseTranscript(await readFile(file, 'utf8'), file));
  // Journal and locks of its own: a replay must neither find nor leave anything on the host.
  const directory = await mkdtemp(join(tmpdir(), 'replay-'));
  try {
    const environment = createEnvironment({ stateDir: directory, runDir: directory });
    const transport = () => Promise.resolve(player);
    const vm = await openVm('replay', { environment, transport });
    const result = await work(vm);
    await vm.close();
    player.finish();
    return result;
  } catch (error) {
    // What the work failed with is only the consequence.
    throw player.mismatch ?? error;
  } finally {
    await rm(directory, { recursive: true });
  }
}
