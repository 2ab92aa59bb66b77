import { deviceNamedIn } from './device-name.js';
import { HostIoError, type HostEffects } from './effects.js';
import { withKernelLog } from './kernel-log.js';
import { readProcess } from './process.js';
import { ifPresent } from './reading.js';
import { quarantined, type Quarantine } from './quarantine.js';

/**
 * The same host, where a write that never came back bars its device for every process of qmplug: nobody
 * tries again, and nobody queues another write behind it. Reading an override waits for the
 * same lock on some kernels, so that is barred too. Its failure tells what the kernel said last.
 *
 * @throws {HostNotReadyError} `QUARANTINED` from what is barred.
 */
export function withQuarantine(effects: HostEffects, quarantine: Quarantine): HostEffects {
  const refuse = async (device: string | undefined) => {
    const entry = device === undefined ? undefined : await quarantine.read(device);
    if (entry !== undefined) throw quarantined(entry);
  };
  return {
    async read(path, options) {
      if (path.endsWith('/driver_override')) await refuse(deviceNamedIn(path));
      return effects.read(path, options);
    },
    async write(path, data, options) {
      const device = deviceNamedIn(path, data);
      await refuse(device);
      try {
        await effects.write(path, data, options);
      } catch (error) {
        if (!(error instanceof HostIoError) || !error.stuck) throw error;
        if (device !== undefined) await bar(effects, quarantine, device, error);
        throw await withKernelLog(effects, error, device ?? path);
      }
    },
    readBytes: (path, length) => effects.readBytes(path, length),
    list: (path) => effects.list(path),
    readlink: (path) => effects.readlink(path),
    stat: (path) => effects.stat(path),
    async open(path) {
      await refuse(deviceNamedIn(path));
      return effects.open(path);
    },
    chown: (path, uid, gid) => effects.chown(path, uid, gid),
    chmod: (path, mode) => effects.chmod(path, mode),
    readAcl: (path) => effects.readAcl(path),
    async loadModule(name) {
      try {
        await effects.loadModule(name);
      } catch (error) {
        if (!(error instanceof HostIoError) || !error.stuck) throw error;
        throw await withKernelLog(effects, error, name);
      }
    },
    readMemlock: (pid) => effects.readMemlock(pid),
    setMemlock: (pid, limit) => effects.setMemlock(pid, limit),
    readVfs: (netdev) => effects.readVfs(netdev),
    setVf: (netdev, index, change) => effects.setVf(netdev, index, change),
  };
}

async function bar(
  effects: HostEffects,
  quarantine: Quarantine,
  device: string,
  { path, childPid }: HostIoError,
): Promise<void> {
  const process =
    childPid === undefined ? undefined : await ifPresent(readProcess(effects, childPid));
  const worker = process && {
    bootId: process.bootId,
    pid: process.pid,
    startTime: process.startTime,
    pidNamespace: process.pidNamespace,
  };
  const who = worker === undefined ? '' : `; process ${worker.pid} is still at it`;
  await quarantine.add({
    device,
    why: 'stuck',
    evidence: `a write to ${path} did not come back${who}`,
    worker: worker ?? null,
    binding: null,
  });
}
