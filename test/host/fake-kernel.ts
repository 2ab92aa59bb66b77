import { HostIoError, type HostEffects, type HostStat } from '../../src/host/effects.js';

export interface FakeFunction {
  driver: string | null;
  override: string | null;
  readonly group: number | undefined;
  /** Drivers whose id table names the device. */
  readonly natives: readonly string[];
}

/** What a process that dies between two writes leaves behind. */
export class Killed extends Error {}

/**
 * The driver core's answers to writes, in memory: enough of bind, unbind, override and DMA ownership to
 * see whether a sequence of writes is right.
 */
export class FakeKernel {
  readonly functions = new Map<string, FakeFunction>();
  readonly drivers = new Set(['vfio-pci', 'pci-stub']);
  /** Modules that can be loaded, with the driver directory each brings. */
  readonly loadable = new Map<string, string>();
  /** Modules by driver directory. */
  readonly modules = new Map<string, string>();
  /** Process that has the group open. */
  readonly heldGroups = new Map<number, number>();
  /** errno that probing answers, by driver. */
  readonly probeErrors = new Map<string, string>();
  readonly writes: string[] = [];
  /** Dies before (odd) or after (even) the write of that number: 1 is before the first. */
  killAt: number | undefined;
  nodesAppear = true;
  overrideHangs = false;
  readonly effects: HostEffects = this.createEffects();

  add(bdf: string, setup: Partial<FakeFunction> = {}): FakeFunction {
    const fn = { driver: null, override: null, group: 7, natives: ['e1000e'], ...setup };
    for (const name of [...fn.natives, ...(fn.driver === null ? [] : [fn.driver])]) {
      this.drivers.add(name);
    }
    this.functions.set(bdf, fn);
    return fn;
  }

  /** Driver and override of every function: what must be equal before and after. */
  state(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      [...this.functions].map(([bdf, { driver, override }]) => [bdf, { driver, override }]),
    );
  }

  private write(path: string, data: string): void {
    const step = this.writes.push(`${path} ${JSON.stringify(data)}`);
    if (this.killAt === 2 * step - 1) throw new Killed();
    this.carryOut(path, data);
    if (this.killAt === 2 * step) throw new Killed();
  }

  private carryOut(path: string, data: string): void {
    const fail = (errno: string, stuck = false): never => {
      throw new HostIoError(errno, 'write', path, { stuck });
    };
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (name === 'driver_override') {
      const fn = this.functions.get(path.split('/').at(-2) ?? '') ?? fail('ENOENT');
      fn.override = data.trim() === '' ? null : data.trim();
      return;
    }
    const fn = this.functions.get(data) ?? fail('ENODEV');
    if (name === 'drivers_probe') {
      const errno = fn.driver === null ? this.probe(fn, fn.override ?? fn.natives[0]) : undefined;
      // Linux 6.1 tells of a driver that would have the device, were its group not VFIO's; and of nothing else.
      if (errno === 'EBUSY' && this.heldGroups.has(fn.group ?? -1)) fail('EINVAL');
      return;
    }
    if (name === 'unbind') {
      if (fn.driver === null) fail('ENOENT');
      const isHeld = fn.driver === 'vfio-pci' && this.heldGroups.has(fn.group ?? -1);
      if (isHeld) fail('ETIMEDOUT', true);
      fn.driver = null;
      return;
    }
    const driver = path.split('/').at(-2) ?? '';
    if (!this.drivers.has(driver)) fail('ENOENT');
    if (fn.driver !== null) fail('EBUSY');
    const matches = fn.override === null ? fn.natives.includes(driver) : fn.override === driver;
    if (!matches) fail('ENODEV');
    const errno = this.probe(fn, driver);
    if (errno !== undefined) fail(errno);
  }

  private probe(fn: FakeFunction, driver: string | undefined): string | undefined {
    if (driver === undefined || !this.drivers.has(driver)) return 'ENODEV';
    const isVfio = driver === 'vfio-pci';
    if (isVfio && fn.group === undefined) return 'EINVAL';
    if (!isVfio && driver !== 'pci-stub' && this.heldGroups.has(fn.group ?? -1)) return 'EBUSY';
    const errno = this.probeErrors.get(driver);
    if (errno === undefined) fn.driver = driver;
    return errno;
  }

  private hasNode(group: number): boolean {
    const members = [...this.functions.values()].filter((fn) => fn.group === group);
    return this.nodesAppear && members.some(({ driver }) => driver === 'vfio-pci');
  }

  private createEffects(): HostEffects {
    const missing = (operation: string, path: string): never => {
      throw new HostIoError('ENOENT', operation, path);
    };
    const functionAt = (path: string) =>
      this.functions.get(/^\/sys\/bus\/pci\/devices\/([^/]+)/.exec(path)?.[1] ?? '');
    const unused = async (): Promise<never> => {
      throw new Error('the fake kernel does not do that');
    };
    return {
      read: async (path) => {
        const fn = functionAt(path);
        if (path.endsWith('/driver_override') && fn !== undefined) {
          if (this.overrideHangs) throw new HostIoError('ETIMEDOUT', 'read', path, { stuck: true });
          return `${fn.override ?? '(null)'}\n`;
        }
        return path === '/proc/812/comm' ? 'qemu-kvm\n' : missing('read', path);
      },
      list: async (path) => {
        if (path === '/proc') return ['1', '812'];
        if (path === '/proc/1/fd') return [];
        if (path === '/proc/812/fd') return [...this.heldGroups.keys()].map(String);
        if (path === '/sys/bus/pci/drivers') return [...this.drivers];
        const group = /^\/sys\/kernel\/iommu_groups\/(\d+)\/devices$/.exec(path)?.[1];
        if (group === undefined) return missing('list', path);
        const members = [...this.functions].filter(([, fn]) => fn.group === Number(group));
        return members.map(([bdf]) => bdf);
      },
      readlink: async (path) => {
        const descriptor = /^\/proc\/812\/fd\/(\d+)$/.exec(path)?.[1];
        if (descriptor !== undefined) return `/dev/vfio/${descriptor}`;
        const fn = functionAt(path);
        const isModule = path.endsWith('/driver/module');
        if (isModule && fn?.driver) return `../../../module/${this.modules.get(fn.driver) ?? 'm'}`;
        if (path.endsWith('/driver') && fn?.driver) return `../../bus/pci/drivers/${fn.driver}`;
        if (path.endsWith('/iommu_group') && fn?.group !== undefined) return `../../${fn.group}`;
        return missing('readlink', path);
      },
      stat: async (path): Promise<HostStat> => {
        const driver = /^\/sys\/bus\/pci\/drivers\/([^/]+)$/.exec(path)?.[1];
        const group = /^\/dev\/vfio\/(\d+)$/.exec(path)?.[1];
        const isThere =
          (driver !== undefined && this.drivers.has(driver)) ||
          (group !== undefined && this.hasNode(Number(group))) ||
          (/^\/sys\/bus\/pci\/devices\/[^/]+$/.test(path) && functionAt(path) !== undefined);
        if (!isThere) return missing('stat', path);
        return { kind: 'directory', uid: 0, gid: 0, mode: 0o755, rdev: undefined, inode: 1n };
      },
      write: async (path, data) => {
        this.write(path, data);
      },
      loadModule: async (name) => {
        const driver = this.loadable.get(name);
        if (driver === undefined) throw new HostIoError('EIO', 'load module', name);
        this.drivers.add(driver);
      },
      readBytes: unused,
      open: unused,
      chown: unused,
      chmod: unused,
      readAcl: unused,
      readMemlock: unused,
      setMemlock: unused,
      readVfs: unused,
      setVf: unused,
    };
  }
}
