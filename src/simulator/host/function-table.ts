import { compareBdf, toBdf, type Bdf } from '../../pci/pci-address.js';
import { KernelError } from './errno.js';
import { isBridge, type PciFunction } from './pci-function.js';
import { sysfsText } from './sysfs-text.js';

/** Enough for any chain of bridges; a configuration that goes in a circle ends here. */
const DEEPEST_BRIDGES = 16;

/** The PCI functions that are there now. */
export class FunctionTable {
  readonly #functions = new Map<Bdf, PciFunction>();
  /** The functions in order, until the next one comes or goes. */
  #ordered: readonly PciFunction[] | undefined;

  /** In numeric order. */
  get all(): readonly PciFunction[] {
    this.#ordered ??= [...this.#functions.values()].sort((a, b) => compareBdf(a.bdf, b.bdf));
    return this.#ordered;
  }

  insert(fn: PciFunction): void {
    this.#functions.set(fn.bdf, fn);
    this.#ordered = undefined;
  }

  drop(bdf: Bdf): void {
    this.#functions.delete(bdf);
    this.#ordered = undefined;
  }

  find(bdf: string): PciFunction | undefined {
    return this.#functions.get(bdf as Bdf);
  }

  /** @throws {KernelError} `ENODEV`, as a driver's file answers for a device it does not find. */
  require(text: string): PciFunction {
    const fn = this.find(sysfsText(text));
    if (fn === undefined) throw new KernelError('ENODEV');
    return fn;
  }

  /** @throws {KernelError} `ENODEV` where it went, or went and came back, since somebody asked for it. */
  mustExist(fn: PciFunction): void {
    if (this.#functions.get(fn.bdf) !== fn) throw new KernelError('ENODEV');
  }

  /** Members of an IOMMU group in numeric order. */
  members(group: number): readonly PciFunction[] {
    return this.all.filter(({ config }) => config.group === group);
  }

  /** Bridges that lead to the function, outermost first. */
  pathTo(fn: PciFunction): readonly Bdf[] {
    const path: Bdf[] = [];
    let parent = fn.config.parent;
    while (parent !== undefined && path.length < DEEPEST_BRIDGES) {
      const bridge = this.find(toBdf(parent));
      if (bridge === undefined || !isBridge(bridge)) break;
      path.unshift(bridge.bdf);
      parent = bridge.config.parent;
    }
    return path;
  }
}
