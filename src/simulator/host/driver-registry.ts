import type { HostConfig } from './config.js';
import { idText, isVfioDriver, moduleOf, type Driver } from './drivers.js';
import { KernelError } from './errno.js';

/** Drivers that are there from boot, whatever is loaded. Source: Debian's 6.1 and 6.12 configurations. */
const BUILT_IN = ['pcieport', 'shpchp'];
/** Modules of every kernel with a PCI driver that no device calls for. */
const STUBS = ['pci-stub'];
const VFIO_PARTS = ['vfio', 'vfio_iommu_type1', 'vfio_pci_core'];
/** The ids that new_id and remove_id take: vendor and device in hexadecimal. */
const PCI_ID = /^\s*([0-9a-f]{1,4})\s+([0-9a-f]{1,4})(?:\s|$)/i;

/** Modules and the PCI drivers in them. */
export class DriverRegistry {
  readonly #drivers = new Map<string, Driver>();
  readonly #loaded = new Set<string>();
  readonly #available: ReadonlySet<string>;
  /** `driver vendor device`: what the drivers' own tables name. */
  readonly #ownIds: ReadonlySet<string>;

  constructor(config: HostConfig) {
    const native = (config.functions ?? []).flatMap((fn) =>
      [fn.nativeDriver, fn.driver, fn.sriov?.vfDriver].filter((name) => typeof name === 'string'),
    );
    const names = [...VFIO_PARTS, 'vfio_pci', ...STUBS, ...native, ...(config.modules ?? [])];
    this.#available = new Set(names.map(moduleOf));
    this.#ownIds = new Set(
      (config.functions ?? []).flatMap(({ nativeDriver, vendorId, deviceId }) =>
        nativeDriver === undefined ? [] : `${nativeDriver} ${idText(vendorId, deviceId)}`,
      ),
    );
    for (const name of BUILT_IN) this.#add(name);
    for (const name of native) if (!isVfioDriver(name)) this.#add(name);
    for (const name of config.loadedModules ?? []) this.load(name);
  }

  /** In order of registration. */
  get drivers(): ReadonlyMap<string, Driver> {
    return this.#drivers;
  }

  get loaded(): ReadonlySet<string> {
    return this.#loaded;
  }

  #add(name: string): void {
    if (this.#drivers.has(name)) return;
    this.#drivers.set(name, { name, module: moduleOf(name), dynamicIds: new Set() });
    if (!BUILT_IN.includes(name)) this.#loaded.add(moduleOf(name));
  }

  /**
   * Loads a module and what it depends on. False when it was there already.
   *
   * @throws {KernelError} `ENOENT` for a module the host does not have.
   */
  load(name: string): boolean {
    const module = moduleOf(name);
    if (this.#loaded.has(module) || BUILT_IN.some((driver) => moduleOf(driver) === module)) {
      return false;
    }
    if (!this.#available.has(module)) throw new KernelError('ENOENT');
    this.#loaded.add(module);
    const driver = module === 'vfio_pci' ? 'vfio-pci' : module;
    if (isVfioDriver(driver)) {
      for (const part of VFIO_PARTS) this.#loaded.add(part);
      this.#add(driver);
    }
    for (const stub of STUBS) if (moduleOf(stub) === module) this.#add(stub);
    return true;
  }

  /** @throws {KernelError} `EEXIST` when the driver has the id, by itself or added; `EINVAL` for no id. */
  addId(driverName: string, data: string): void {
    const [driver, id] = this.#parseId(driverName, data);
    if (driver.dynamicIds.has(id) || this.#ownIds.has(`${driverName} ${id}`)) {
      throw new KernelError('EEXIST');
    }
    driver.dynamicIds.add(id);
  }

  /** @throws {KernelError} `ENODEV` when the driver does not have the id. */
  removeId(driverName: string, data: string): void {
    const [driver, id] = this.#parseId(driverName, data);
    if (!driver.dynamicIds.delete(id)) throw new KernelError('ENODEV');
  }

  #parseId(driverName: string, data: string): [Driver, string] {
    const driver = this.#drivers.get(driverName);
    const [, vendor, device] = PCI_ID.exec(data) ?? [];
    if (driver === undefined || vendor === undefined || device === undefined) {
      throw new KernelError('EINVAL');
    }
    return [driver, idText(parseInt(vendor, 16), parseInt(device, 16))];
  }
}
