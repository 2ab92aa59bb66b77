// A script of sysfs writes, on whatever host the effects lead to: the simulated kernel, or a real one.

/**
 * One line of a script. Paths and data may hold `{nic}`, `{nic.group}`: the places of the host it runs on.
 *
 * @typedef {{ write: string, data: string }
 *   | { state: string }
 *   | { vfs: string }
 *   | { read: string }
 *   | { exists: string }} ScriptLine
 */

/**
 * Runs a script and tells what each line yielded: `ok` or the errno of a write, driver and override of a function,
 * number of VFs and autoprobe of a PF, what a file says or the errno of reading it, `yes` or `no`.
 *
 * @param {import('../../src/host/effects.js').HostEffects} effects
 * @param {readonly ScriptLine[]} lines
 * @param {Readonly<Record<string, string>>} places
 * @returns {Promise<readonly string[]>}
 */
export async function runScript(effects, lines, places) {
  const fill = (/** @type {string} */ text) =>
    text.replace(/\{([\w.-]+)\}/g, (_, name) => places[name] ?? `no place ${name}`);
  const device = (/** @type {string} */ name) => `/sys/bus/pci/devices/${places[name]}`;
  const text = async (/** @type {string} */ path) => (await effects.read(path)).trim();
  const results = [];
  for (const line of lines) {
    if ('write' in line) {
      results.push(await errnoOf(effects.write(fill(line.write), fill(line.data))));
    } else if ('state' in line) {
      const driver = await effects.readlink(`${device(line.state)}/driver`).then(
        (target) => target.slice(target.lastIndexOf('/') + 1),
        () => 'none',
      );
      results.push(`${driver} ${await text(`${device(line.state)}/driver_override`)}`);
    } else if ('read' in line) {
      results.push(await text(fill(line.read)).catch(errnoFrom));
    } else if ('vfs' in line) {
      const [count, autoprobe] = [
        await text(`${device(line.vfs)}/sriov_numvfs`),
        await text(`${device(line.vfs)}/sriov_drivers_autoprobe`),
      ];
      results.push(`${count} ${autoprobe}`);
    } else {
      const errno = await errnoOf(effects.stat(fill(line.exists)));
      results.push(errno === 'ok' ? 'yes' : 'no');
    }
  }
  return results;
}

/** @param {Promise<unknown>} promise */
async function errnoOf(promise) {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    return errnoFrom(error);
  }
}

/** @param {unknown} error */
function errnoFrom(error) {
  return /** @type {{ errno?: string }} */ (error).errno ?? String(error);
}
