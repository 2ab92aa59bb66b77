import type { Trace } from '../trace.js';
import type { HostConfig } from './config.js';
import type { DeviceNodes } from './device-nodes.js';
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
import type { FunctionTable } from './function-table.js';
import type { PciFunction } from './pci-function.js';
import type { Vfio } from './vfio.js';

/** driver_set_override refuses a page and more, and sysfs hands over at most a page. */
const OVERRIDE_LIMIT = 4095;

/** What the driver core works on. */
export interface DriverCoreParts {
  readonly config: HostConfig;
  readonly functions: FunctionTable;
  readonly nodes: DeviceNodes;
  readonly vfio: Vfio;
  readonly trace: Trace;
}

/** Drivers taking functions and letting go of them: bind, unbind, probe, overrides, ids, modules. */
export class DriverCore {
  readonly #parts: DriverCoreParts;
  readonly #registry: DriverRegistry;

  constructor(parts: DriverCoreParts) {
    this.#parts = parts;
    this.#registry = new DriverRegistry(parts.config);
  }

  /** In order of registration. */
  get drivers(): ReadonlyMap<string, Driver> {
    return this.#registry.drivers;
  }

  get loadedModules(): ReadonlySet<string> {
    return this.#registry.loaded;
  }

  /** @throws {KernelError} `ENOENT` for a module the host does not have. */
  loadModule(name: string): void {
    if (!this.#registry.load(name)) return;
    this.#parts.trace.add('kernel', `module ${moduleOf(name)} loaded`);
  }

  /** The functions that a driver has, in numeric order. */
  boundTo(driver: string): readonly PciFunction[] {
    return this.#parts.functions.all.filter((fn) => fn.driver === driver);
  }

  /** `drivers/<name>/bind`. */
  bind(driverName: string, text: string): Promise<void> {
    const { functions } = this.#parts;
    const fn = functions.require(text);
    return fn.lock.run(() => {
      functions.mustExist(fn);
      const driver = this.drivers.get(driverName);
      if (driver === undefined || !driverMatches(driver, fn)) throw new KernelError('ENODEV');
      if (fn.driver !== undefined) throw new KernelError('EBUSY');
      this.#probe(driver, fn);
    });
  }

  /** `drivers/<name>/unbind`, also reached as `<device>/driver/unbind`. */
  unbind(driverName: string, text: string): Promise<void> {
    const { functions } = this.#parts;
    const fn = functions.require(text);
    if (fn.driver !== driverName) throw new KernelError('ENODEV');
    return fn.lock.run(async () => {
      functions.mustExist(fn);
      if (fn.driver !== driverName) throw new KernelError('ENODEV');
      await this.release(fn);
    });
  }

  /** Takes the driver away; waits, if need be for ever, until whoever has the VFIO device open closes it. */
  async release(fn: PciFunction): Promise<void> {
    const { nodes, vfio, trace } = this.#parts;
    const driver = fn.driver;
    if (isVfioDriver(driver)) await nodes.waitUntilClosed(fn);
    fn.driver = undefined;
    if (isVfioDriver(driver)) vfio.deviceUnbound(fn);
    trace.add('kernel', `${fn.bdf} unbound from ${driver ?? 'nothing'}`);
  }

  /** The driver has it from boot on, whatever its probe would say. */
  boundAtBoot(fn: PciFunction, driver: string): void {
    if (isVfioDriver(driver)) this.loadModule(driver);
    fn.driver = driver;
    if (isVfioDriver(driver)) this.#parts.vfio.deviceBound(fn);
  }

  /**
   * `drivers_probe`: succeeds whether or not a driver took the device. Only where VFIO has the group it says so of a
   * driver that would have: really_probe hands on what configuring DMA yields, unlike what the driver's own probe
   * does, and drivers_probe_store makes EINVAL of it (drivers/base/dd.c and bus.c, Linux 6.1).
   */
  probeDrivers(text: string): Promise<void> {
    const { functions } = this.#parts;
    const fn = functions.require(text);
    return fn.lock.run(() => {
      functions.mustExist(fn);
      this.attach(fn);
      if (this.#isKeptByVfio(fn)) throw new KernelError('EINVAL');
    });
  }

  #isKeptByVfio(fn: PciFunction): boolean {
    const { group } = fn.config;
    if (fn.driver !== undefined || group === undefined) return false;
    if (this.#parts.vfio.ownerOf(group) === undefined) return false;
    return [...this.drivers.values()].some(
      (driver) => driverMatches(driver, fn) && !managesDma(driver.name),
    );
  }

  /** Tries the drivers in order of registration, as the core does, and tells nobody. */
  attach(fn: PciFunction): void {
    for (const driver of this.drivers.values()) this.#tryProbe(driver, fn);
  }

  #tryProbe(driver: Driver, fn: PciFunction): void {
    if (fn.driver !== undefined || !driverMatches(driver, fn)) return;
    try {
      this.#probe(driver, fn);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const { trace } = this.#parts;
      trace.add('kernel', `probe of ${fn.bdf} with ${driver.name} failed: ${error.errno}`);
    }
  }

  #probe(driver: Driver, fn: PciFunction): void {
    const { config, functions, nodes, vfio, trace } = this.#parts;
    const { physfn, config: own } = fn;
    probe(driver, fn, {
      hasGroup: own.group !== undefined && config.iommu !== 'none',
      groupOwned: own.group !== undefined && nodes.ownerOf(own.group) !== undefined,
      keptFromDrivers: physfn !== undefined && functions.find(physfn)?.sriov?.autoprobe === false,
    });
    fn.driver = driver.name;
    if (isVfioDriver(driver.name)) vfio.deviceBound(fn);
    trace.add('kernel', `${fn.bdf} bound to ${driver.name}`);
  }

  /** `driver_override`. @throws {KernelError} `EINVAL` for 4095 bytes and more. */
  setOverride(fn: PciFunction, data: string): Promise<void> | void {
    if (Buffer.byteLength(data) >= OVERRIDE_LIMIT) throw new KernelError('EINVAL');
    const set = () => {
      const [name = ''] = data.split('\n');
      fn.driverOverride = name === '' ? undefined : name;
    };
    return this.#parts.config.overrideTakesDeviceLock === true ? fn.lock.run(set) : set();
  }

  overrideText(fn: PciFunction): string | Promise<string> {
    const text = () => `${fn.driverOverride ?? '(null)'}\n`;
    return this.#parts.config.overrideTakesDeviceLock === true ? fn.lock.run(text) : text();
  }

  /** `new_id`: the driver then takes every unbound function with this id. */
  addDynamicId(driverName: string, data: string): void {
    this.#registry.addId(driverName, data);
    const driver = this.drivers.get(driverName);
    for (const fn of this.#parts.functions.all) {
      if (driver && !fn.lock.held) this.#tryProbe(driver, fn);
    }
  }

  /** `remove_id`. */
  removeDynamicId(driverName: string, data: string): void {
    this.#registry.removeId(driverName, data);
  }
}
