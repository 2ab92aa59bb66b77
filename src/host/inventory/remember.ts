import type { HostEffects } from '../effects.js';

/**
 * The same host, where each file is read once: whoever asks again gets the first answer, a failure
 * included. So one snapshot never holds two values of one thing. Writing is not remembered, and is not
 * for whoever takes a snapshot.
 */
export function rememberReads(effects: HostEffects): HostEffects {
  const memory = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    // Each key is used with one type only: it begins with the operation.
    const value = (memory.get(key) as Promise<T> | undefined) ?? read();
    memory.set(key, value);
    return value;
  };
  return {
    read: (path, options) => once(`read ${path}`, () => effects.read(path, options)),
    readBytes: (path, length) =>
      once(`bytes ${length} ${path}`, () => effects.readBytes(path, length)),
    list: (path) => once(`list ${path}`, () => effects.list(path)),
    readlink: (path) => once(`link ${path}`, () => effects.readlink(path)),
    stat: (path) => once(`stat ${path}`, () => effects.stat(path)),
    write: (path, data, options) => effects.write(path, data, options),
    open: (path) => effects.open(path),
    chown: (path, uid, gid) => effects.chown(path, uid, gid),
    chmod: (path, mode) => effects.chmod(path, mode),
    readAcl: (path) => once(`acl ${path}`, () => effects.readAcl(path)),
    loadModule: (name) => effects.loadModule(name),
    readMemlock: (pid) => effects.readMemlock(pid),
    setMemlock: (pid, limit) => effects.setMemlock(pid, limit),
    readVfs: (netdev) => once(`vfs ${netdev}`, () => effects.readVfs(netdev)),
    setVf: (netdev, index, change) => effects.setVf(netdev, index, change),
  };
}
