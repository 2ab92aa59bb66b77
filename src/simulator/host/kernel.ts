import type { VfChange, VfSettings } from '../../host/effects.js';
import type { Clock } from '../../clock.js';
import type { MemlockLimit } from '../../host/effects.js';
import { compareBdf, toBdf, type Bdf } from '../../pci/pci-address.js';
import type { Trace } from '../trace.js';
import type { FunctionConfig, HostConfig, ProcessConfig } from './config.js';
import { DriverRegistry } from './driver-registry.js';
import {
  driverMatches,
  isVfioDriver,
  managesDma,
  moduleOf,
  probe,
  type Driver,
} from './drivers.js';
import { KernelError } from './errno.js';
import { Iommufd } from './iommufd.js';
import { Mdevs } from './mdev.js';
import { SimulatedNode } from './open-node.js';
import { createFunction, isBridge, type PciFunction } from './pci-function.js';
import { openFd, ProcessTable, type Process } from './processes.js';
import { newVfSettings, readNumVfs, virtualFunction } from './sriov.js';
import { sysfsText } from './sysfs-text.js';
import { mayOpen, Vfio, type DeviceNode } from './vfio.js';

/** driver_set_override refuses a page and more, and sysfs hands over at most a page. */
const OVERRIDE_LIMIT = 4095;
/** vfio_unregister_group_dev asks the user again at this interval (Linux 6.12). */
const DEVICE_REQUEST_MS = 10_000;

/** Called when somebody on the host wants a device back that a process has open. */
export type DeviceRequestListener = (bdf: Bdf, count: number) => void;

/**
 * The part of a Linux host that VFIO concerns: PCI functions and their drivers, IOMMU groups,
 * processes, modules. Every operation does what the kernel does, including the successes that
 * change nothing and the waits that end only when the user lets go.
 */
export class Kernel {
  readonly config: HostConfig;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly processes = new ProcessTable();
  readonly vfio: Vfio;
  readonly iommufd: Iommufd;
  readonly mdevs: Mdevs;
  readonly parameters = new Map<string, string>([
    ['vfio_iommu_type1/allow_unsafe_interrupts', 'N'],
    ['vfio_iommu_type1/disable_hugepages', 'N'],
    ['vfio_iommu_type1/dma_entry_limit', '65535'],
    ['vfio_pci/disable_idle_d3', 'N'],
    ['vfio_pci/enable_sriov', 'N'],
    ['vfio_pci/disable_denylist', 'N'],
    ['vfio_pci/nointxmask', 'N'],
    ['vfio_pci/disable_vga', 'N'],
  ]);
  readonly #functions = new Map<Bdf, PciFunction>();
  /** The functions in order, until the next one comes or goes. */
  #ordered: readonly PciFunction[] | undefined;
  /** Functions that `remove` took away; `rescan` finds them again. */
  readonly #removed = new Map<Bdf, FunctionConfig>();
  readonly #registry: DriverRegistry;
  readonly #listeners = new Map<number, DeviceRequestListener>();
  readonly vfioControlNode: DeviceNode = {
    major: 10,
    minor: 196,
    inode: 600n,
    uid: 0,
    gid: 0,
    mode: 0o666,
  };
  readonly iommuNode: DeviceNode = {
    major: 10,
    minor: 127,
    inode: 601n,
    uid: 0,
    gid: 0,
    mode: 0o660,
  };

  constructor(config: HostConfig, clock: Clock, trace: Trace) {
    this.config = config;
    this.clock = clock;
    this.trace = trace;
    this.vfio = new Vfio({
      members: (group) => [...this.members(group), ...this.#mdevsIn(group)],
      process: (pid) => this.processes.require(pid),
      cdev: config.cdev ?? false,
      isBoundToIommufd: (group) => this.iommufd.ownerOf(group) !== undefined,
      interruptRemapping: config.interruptRemapping ?? true,
      allowUnsafeInterrupts: () =>
        this.parameters.get('vfio_iommu_type1/allow_unsafe_interrupts') === 'Y',
    });
    this.iommufd = new Iommufd({
      process: (pid) => this.processes.require(pid),
      processes: () => this.processes.all(),
      isViable: (group) => this.vfio.isViable(group),
      isGroupOpen: (group) => this.vfio.ownerOf(group) !== undefined,
    });
    this.mdevs = new Mdevs(config, this.vfio);
    this.#registry = new DriverRegistry(config);
    for (const fn of config.functions ?? []) this.#discover(fn);
    this.processes.start({
      pid: 1,
      command: 'systemd',
      memlock: { soft: 8_388_608n, hard: 8_388_608n },
    });
    for (const process of config.processes ?? []) this.processes.start(process);
  }

  /** A function appears as at boot: with the driver its configuration names. */
  #discover(config: FunctionConfig): void {
    const fn = createFunction(config);
    this.#insert(fn);
    fn.driverOverride = config.driverOverride;
    const driver = config.driver === undefined ? config.nativeDriver : config.driver;
    if (driver !== undefined && driver !== null) {
      if (isVfioDriver(driver)) this.loadModule(driver);
      fn.driver = driver;
      if (isVfioDriver(driver)) this.vfio.deviceBound(fn);
    }
    if (fn.sriov && config.sriov?.numVfs !== undefined) this.#enableVfs(fn, config.sriov.numVfs);
  }

  // What there is

  /** In numeric order. */
  get functions(): readonly PciFunction[] {
    this.#ordered ??= [...this.#functions.values()].sort((a, b) => compareBdf(a.bdf, b.bdf));
    return this.#ordered;
  }

  #insert(fn: PciFunction): void {
    this.#functions.set(fn.bdf, fn);
    this.#ordered = undefined;
  }

  #drop(bdf: Bdf): void {
    this.#functions.delete(bdf);
    this.#ordered = undefined;
  }

  get drivers(): ReadonlyMap<string, Driver> {
    return this.#registry.drivers;
  }

  get loadedModules(): ReadonlySet<string> {
    return this.#registry.loaded;
  }

  find(bdf: string): PciFunction | undefined {
    return this.#functions.get(bdf as Bdf);
  }

  /** Members of a group in numeric order. */
  members(group: number): readonly PciFunction[] {
    return this.functions.filter(({ config }) => config.group === group);
  }

  get groups(): readonly number[] {
    const all = [...this.functions, ...[...this.mdevs.all.values()].map(({ fn }) => fn)];
    const ids = all.map(({ config }) => config.group).filter((id) => id !== undefined);
    return [...new Set(ids)].sort((a, b) => a - b);
  }

  bound(driver: string): readonly PciFunction[] {
    return this.functions.filter((fn) => fn.driver === driver);
  }

  /** @throws {KernelError} `ENODEV`, as a driver's file answers for a device it does not find. */
  #require(text: string): PciFunction {
    const fn = this.find(sysfsText(text));
    if (fn === undefined) throw new KernelError('ENODEV');
    return fn;
  }

  // Drivers

  /** `drivers/<name>/bind`. */
  bind(driverName: string, text: string): Promise<void> {
    const fn = this.#require(text);
    return fn.lock.run(() => {
      this.#mustExist(fn);
      const driver = this.drivers.get(driverName);
      if (driver === undefined || !driverMatches(driver, fn)) throw new KernelError('ENODEV');
      if (fn.driver !== undefined) throw new KernelError('EBUSY');
      this.#probe(driver, fn);
    });
  }

  /** `drivers/<name>/unbind`, also reached as `<device>/driver/unbind`. */
  unbind(driverName: string, text: string): Promise<void> {
    const fn = this.#require(text);
    if (fn.driver !== driverName) throw new KernelError('ENODEV');
    return fn.lock.run(async () => {
      this.#mustExist(fn);
      if (fn.driver !== driverName) throw new KernelError('ENODEV');
      await this.#releaseDriver(fn);
    });
  }

  /**
   * `drivers_probe`: succeeds whether or not a driver took the device. Only where VFIO has the group it says so of a
   * driver that would have: really_probe hands on what configuring DMA yields, unlike what the driver's own probe
   * does, and drivers_probe_store makes EINVAL of it (drivers/base/dd.c and bus.c, Linux 6.1).
   */
  probeDrivers(text: string): Promise<void> {
    const fn = this.#require(text);
    return fn.lock.run(() => {
      this.#mustExist(fn);
      this.#attach(fn);
      if (this.#isKeptByVfio(fn)) throw new KernelError('EINVAL');
    });
  }

  #isKeptByVfio(fn: PciFunction): boolean {
    const { group } = fn.config;
    if (fn.driver !== undefined || group === undefined || this.vfio.ownerOf(group) === undefined) {
      return false;
    }
    return [...this.drivers.values()].some(
      (driver) => driverMatches(driver, fn) && !managesDma(driver.name),
    );
  }

  /** Tries the drivers in order of registration, as the core does, and tells nobody. */
  #attach(fn: PciFunction): void {
    for (const driver of this.drivers.values()) this.#tryProbe(driver, fn);
  }

  #tryProbe(driver: Driver, fn: PciFunction): void {
    if (fn.driver !== undefined || !driverMatches(driver, fn)) return;
    try {
      this.#probe(driver, fn);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.trace.add('kernel', `probe of ${fn.bdf} with ${driver.name} failed: ${error.errno}`);
    }
  }

  #probe(driver: Driver, fn: PciFunction): void {
    const group = fn.config.group;
    probe(driver, fn, {
      hasGroup: group !== undefined && this.config.iommu !== 'none',
      groupOwned: group !== undefined && this.ownerOf(group) !== undefined,
      keptFromDrivers: fn.physfn !== undefined && this.find(fn.physfn)?.sriov?.autoprobe === false,
    });
    fn.driver = driver.name;
    if (isVfioDriver(driver.name)) this.vfio.deviceBound(fn);
    this.trace.add('kernel', `${fn.bdf} bound to ${driver.name}`);
  }

  /** Process that has an IOMMU group, by whichever node. */
  ownerOf(group: number): number | undefined {
    return this.vfio.ownerOf(group) ?? this.iommufd.ownerOf(group);
  }

  /**
   * open(2) of a device node for a process.
   *
   * @throws {KernelError} `ENOENT`, `EACCES`.
   */
  openNode(pid: number, path: string, node: DeviceNode | undefined): SimulatedNode {
    if (node === undefined) throw new KernelError('ENOENT');
    const process = this.processes.require(pid);
    if (!mayOpen(process, node)) throw new KernelError('EACCES');
    return this.giveNode(pid, path);
  }

  /** The node at a path below /dev, which comes and goes with VFIO. */
  nodeAt(path: string): DeviceNode | undefined {
    if (path === '/dev/iommu') return this.config.cdev === true ? this.iommuNode : undefined;
    const [, cdev] = /^\/dev\/vfio\/devices\/vfio(\d+)$/.exec(path) ?? [];
    return cdev === undefined ? undefined : this.vfio.cdevNodes.get(Number(cdev));
  }

  /** A node that somebody else has opened, as SCM_RIGHTS hands it over. */
  giveNode(pid: number, path: string): SimulatedNode {
    const process = this.processes.require(pid);
    return new SimulatedNode(path, { process, fd: openFd(process, path) }, () => {
      this.#wakeClosers();
    });
  }

  /** Who has the node of the function itself open, bound to iommufd or not: unbinding waits for all of them. */
  #cdevHolders({ vfioIndex }: PciFunction): boolean {
    if (vfioIndex === undefined || this.config.cdev !== true) return false;
    const path = `/dev/vfio/devices/vfio${vfioIndex}`;
    return this.processes.all().some(({ fds }) => [...fds.values()].includes(path));
  }

  #wakeClosers(): void {
    for (const { closeWaiters } of this.functions) {
      for (const wake of closeWaiters.splice(0)) wake();
    }
  }

  /** Waits, if need be for ever, until whoever has the VFIO device open closes it. */
  async #releaseDriver(fn: PciFunction): Promise<void> {
    const driver = fn.driver;
    if (isVfioDriver(driver)) await this.#waitUntilClosed(fn);
    fn.driver = undefined;
    if (isVfioDriver(driver)) this.vfio.deviceUnbound(fn);
    this.trace.add('kernel', `${fn.bdf} unbound from ${driver ?? 'nothing'}`);
  }

  async #waitUntilClosed(fn: PciFunction): Promise<void> {
    const isOpen = () => fn.openedBy !== undefined || this.#cdevHolders(fn);
    for (let count = 0; isOpen(); count++) {
      this.trace.add('kernel', `${fn.bdf}: Relaying device request to user (#${count})`);
      if (fn.openedBy !== undefined) this.#listeners.get(fn.openedBy)?.(fn.bdf, count);
      // The request may have been answered on the spot.
      if (!isOpen()) return;
      await new Promise<void>((resolve) => {
        const cancel = this.clock.after(DEVICE_REQUEST_MS, resolve);
        fn.closeWaiters.push(() => {
          cancel();
          resolve();
        });
      });
    }
  }

  /** QEMU registers for `x-req`; the kernel calls back at the first request and every 10 s. */
  onDeviceRequest(pid: number, listener: DeviceRequestListener): void {
    this.#listeners.set(pid, listener);
  }

  /** @throws {KernelError} `EINVAL` for 4095 bytes and more. */
  setOverride(fn: PciFunction, data: string): Promise<void> | void {
    if (Buffer.byteLength(data) >= OVERRIDE_LIMIT) throw new KernelError('EINVAL');
    const set = () => {
      const [name = ''] = data.split('\n');
      fn.driverOverride = name === '' ? undefined : name;
    };
    return this.config.overrideTakesDeviceLock === true ? fn.lock.run(set) : set();
  }

  overrideText(fn: PciFunction): string | Promise<string> {
    const text = () => `${fn.driverOverride ?? '(null)'}\n`;
    return this.config.overrideTakesDeviceLock === true ? fn.lock.run(text) : text();
  }

  /** `new_id`: the driver then takes every unbound function with this id. */
  addDynamicId(driverName: string, data: string): void {
    this.#registry.addId(driverName, data);
    const driver = this.drivers.get(driverName);
    for (const fn of this.functions) {
      if (driver && !fn.lock.held) this.#tryProbe(driver, fn);
    }
  }

  removeDynamicId(driverName: string, data: string): void {
    this.#registry.removeId(driverName, data);
  }

  /** @throws {KernelError} `ENOENT` for a module the host does not have. */
  loadModule(name: string): void {
    if (this.#registry.load(name)) this.trace.add('kernel', `module ${moduleOf(name)} loaded`);
  }

  // Coming and going of functions

  /** Surprise removal, or `remove`: everything that has the device's path fails from now on. */
  vanish(bdf: string): void {
    const fn = this.find(bdf);
    if (fn === undefined) return;
    for (const vf of fn.virtfns) this.vanish(vf);
    this.#drop(fn.bdf);
    this.#removed.set(fn.bdf, fn.config);
    if (isVfioDriver(fn.driver)) {
      fn.driver = undefined;
      this.vfio.deviceUnbound(fn);
    }
    this.trace.add('kernel', `${fn.bdf} is gone`);
  }

  /** `<device>/remove`. */
  remove(fn: PciFunction): Promise<void> {
    return fn.lock.run(async () => {
      this.#mustExist(fn);
      if (fn.driver !== undefined) await this.#releaseDriver(fn);
      this.vanish(fn.bdf);
    });
  }

  /** `/sys/bus/pci/rescan`: removed functions come back without override, on their native driver. */
  rescan(): void {
    for (const [bdf, config] of this.#removed) {
      this.#removed.delete(bdf);
      const fn = createFunction(config);
      this.#insert(fn);
      this.#attach(fn);
    }
  }

  #mustExist(fn: PciFunction): void {
    if (this.#functions.get(fn.bdf) !== fn) throw new KernelError('ENODEV');
  }

  /** `sriov_numvfs`. */
  setNumVfs(fn: PciFunction, data: string): Promise<void> {
    return fn.lock.run(async () => {
      this.#mustExist(fn);
      const change = readNumVfs(fn, data);
      if (change === 'none') return;
      if (change.count === 0) await this.#disableVfs(fn);
      else this.#enableVfs(fn, change.count);
    });
  }

  /** IFLA_VF_*: asked of the PF's driver through its interface. @throws {KernelError} */
  vfsOf(netdev: string): VfSettings[] {
    const pf = this.functions.find(({ config }) => config.netdevs?.includes(netdev));
    // The interface is the driver's.
    if (pf === undefined || pf.driver !== pf.config.nativeDriver) throw new KernelError('ENODEV');
    return pf.sriov?.settings ?? [];
  }

  /** @throws {KernelError} `EINVAL` for a VF that is not there, or a VLAN that is none. */
  setVf(netdev: string, index: number, change: VfChange): void {
    const settings = this.vfsOf(netdev);
    const now = settings.find((vf) => vf.index === index);
    if (now === undefined || (change.vlan ?? 0) > 4094) throw new KernelError('EINVAL');
    const {
      mac = now.mac,
      vlan = now.vlan,
      trust = now.trust,
      spoofCheck = now.spoofCheck,
    } = change;
    settings[settings.indexOf(now)] = { index, mac, vlan, trust, spoofCheck };
  }

  #enableVfs(fn: PciFunction, count: number): void {
    if (fn.sriov === undefined) return;
    fn.sriov.numVfs = count;
    fn.sriov.settings = newVfSettings(count);
    for (let index = 0; index < count; index++) {
      const vf = createFunction(virtualFunction(fn, index, this.#freeGroup()), fn.bdf);
      this.#insert(vf);
      fn.virtfns.push(vf.bdf);
      if (fn.sriov.autoprobe) this.#attach(vf);
    }
  }

  async #disableVfs(fn: PciFunction): Promise<void> {
    for (const bdf of fn.virtfns) {
      const vf = this.find(bdf);
      if (vf?.driver !== undefined) await this.#releaseDriver(vf);
      this.#drop(bdf);
    }
    fn.virtfns = [];
    if (fn.sriov) Object.assign(fn.sriov, { numVfs: 0, settings: [] });
  }

  // Mediated devices and vGPUs

  /** What VFIO can open by this name: a function, or an mdev by its UUID. */
  findVfio(name: string): PciFunction | undefined {
    return this.find(name) ?? this.mdevs.all.get(name)?.fn;
  }

  #mdevsIn(group: number): readonly PciFunction[] {
    return [...this.mdevs.all.values()]
      .map(({ fn }) => fn)
      .filter(({ config }) => config.group === group);
  }

  createMdev(parent: string, type: string, data: string): void {
    this.loadModule('vfio');
    this.mdevs.create(parent, type, data, this.#freeGroup());
  }

  removeMdev(uuid: string): Promise<void> {
    return this.mdevs.remove(uuid, (fn) => this.#waitUntilClosed(fn));
  }

  /**
   * `nvidia/current_vgpu_type`. Made up from the description of other tools: not seen on hardware.
   *
   * @throws {KernelError} `EINVAL` for a type it does not offer, `EBUSY` while it is open or is one.
   */
  setVgpuType(fn: PciFunction, data: string): void {
    const type = data.trim();
    if (fn.openedBy !== undefined || (type !== '0' && fn.vgpuType !== '0')) {
      throw new KernelError('EBUSY');
    }
    if (type !== '0' && fn.config.vgpuTypes?.[type] === undefined) throw new KernelError('EINVAL');
    if (type === fn.vgpuType) return;
    this.loadModule('vfio');
    fn.vgpuType = type;
    if (type === '0') this.vfio.deviceUnbound(fn);
    else this.vfio.deviceBound(fn);
  }

  #freeGroup(): number {
    return Math.max(-1, ...this.groups) + 1;
  }

  // Processes

  startProcess(config: ProcessConfig): Process {
    return this.processes.start(config);
  }

  /** SIGKILL, or an orderly end: descriptors are closed, VFIO devices given back. */
  endProcess(pid: number): void {
    if (this.processes.get(pid) === undefined) return;
    this.#listeners.delete(pid);
    const mdevs = [...this.mdevs.all.values()].map(({ fn }) => fn);
    for (const fn of [...this.functions, ...mdevs]) this.iommufd.unbind(pid, fn);
    this.vfio.releaseAll(pid, [...this.functions, ...mdevs]);
    this.processes.end(pid);
    this.#wakeClosers();
    this.trace.add('kernel', `process ${pid} is gone`);
  }

  setMemlock(pid: number, limit: MemlockLimit): void {
    this.processes.require(pid).memlock = limit;
  }

  /** Bridges that lead to the function, outermost first. */
  pathTo(fn: PciFunction): readonly Bdf[] {
    const path: Bdf[] = [];
    let parent = fn.config.parent;
    while (parent !== undefined && path.length < 16) {
      const bridge = this.find(toBdf(parent));
      if (bridge === undefined || !isBridge(bridge)) break;
      path.unshift(bridge.bdf);
      parent = bridge.config.parent;
    }
    return path;
  }
}
