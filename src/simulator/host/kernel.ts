import type { Clock } from '../../clock.js';
import type { MemlockLimit } from '../../host/effects.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { Trace } from '../trace.js';
import type { FunctionConfig, HostConfig, ProcessConfig } from './config.js';
import { DeviceNodes } from './device-nodes.js';
import { DriverCore } from './driver-core.js';
import { isVfioDriver, type Driver } from './drivers.js';
import { FunctionTable } from './function-table.js';
import { Iommufd } from './iommufd.js';
import { KernelLog } from './kernel-log.js';
import { Mdevs } from './mdev.js';
import { createFunction, type PciFunction } from './pci-function.js';
import { ProcessTable, type Process } from './processes.js';
import { Vfio } from './vfio.js';
import { VirtualFunctions } from './virtual-functions.js';

/**
 * The part of a Linux host that VFIO concerns: PCI functions and their drivers, IOMMU groups,
 * processes, modules. Every operation does what the kernel does, including the successes that
 * change nothing and the waits that end only when the user lets go.
 */
export class Kernel {
  readonly config: HostConfig;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly log: KernelLog;
  readonly processes = new ProcessTable();
  readonly table = new FunctionTable();
  readonly vfio: Vfio;
  readonly iommufd: Iommufd;
  readonly nodes: DeviceNodes;
  readonly driverCore: DriverCore;
  readonly virtualFunctions: VirtualFunctions;
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
  /** Functions that `remove` took away; `rescan` finds them again. */
  readonly #removed = new Map<Bdf, FunctionConfig>();

  constructor(config: HostConfig, clock: Clock, trace: Trace) {
    this.config = config;
    this.clock = clock;
    this.trace = trace;
    this.log = new KernelLog(clock);
    const { processes, table: functions } = this;
    const cdev = config.cdev ?? false;
    const freeGroup = () => Math.max(-1, ...this.groups) + 1;
    this.vfio = new Vfio({
      members: (group) => [...this.members(group), ...this.mdevs.members(group)],
      process: (pid) => processes.require(pid),
      find: (bdf) => functions.find(bdf),
      cdev,
      isBoundToIommufd: (group) => this.iommufd.ownerOf(group) !== undefined,
      interruptRemapping: config.interruptRemapping ?? true,
      allowUnsafeInterrupts: () =>
        this.parameters.get('vfio_iommu_type1/allow_unsafe_interrupts') === 'Y',
    });
    this.iommufd = new Iommufd({
      process: (pid) => processes.require(pid),
      processes: () => processes.all(),
      isViable: (group) => this.vfio.isViable(group),
      isGroupOpen: (group) => this.vfio.ownerOf(group) !== undefined,
    });
    const { vfio, iommufd } = this;
    this.nodes = new DeviceNodes({
      ...{ cdev, clock, functions, iommufd, processes, trace, vfio },
      log: this.log,
    });
    this.driverCore = new DriverCore({ config, functions, nodes: this.nodes, vfio, trace });
    const { nodes, driverCore: drivers } = this;
    this.virtualFunctions = new VirtualFunctions({ drivers, functions, freeGroup });
    this.mdevs = new Mdevs({ config, drivers, freeGroup, nodes, vfio });
    for (const fn of config.functions ?? []) this.#discover(fn);
    processes.start({
      pid: 1,
      command: 'systemd',
      memlock: { soft: 8_388_608n, hard: 8_388_608n },
    });
    for (const process of config.processes ?? []) processes.start(process);
  }

  /** A function appears as at boot: with the driver its configuration names. */
  #discover(config: FunctionConfig): void {
    const fn = createFunction(config);
    this.table.insert(fn);
    fn.driverOverride = config.driverOverride;
    const driver = config.driver === undefined ? config.nativeDriver : config.driver;
    if (driver !== undefined && driver !== null) this.driverCore.boundAtBoot(fn, driver);
    const { numVfs } = config.sriov ?? {};
    if (numVfs !== undefined) this.virtualFunctions.enable(fn, numVfs);
  }

  // What there is

  /** In numeric order. */
  get functions(): readonly PciFunction[] {
    return this.table.all;
  }

  find(bdf: string): PciFunction | undefined {
    return this.table.find(bdf);
  }

  /** What VFIO can open by this name: a function, or an mdev by its UUID. */
  findVfio(name: string): PciFunction | undefined {
    return this.find(name) ?? this.mdevs.all.get(name)?.fn;
  }

  /** Members of a group in numeric order. */
  members(group: number): readonly PciFunction[] {
    return this.table.members(group);
  }

  get groups(): readonly number[] {
    const all = [...this.functions, ...this.mdevs.functions];
    const ids = all.map(({ config }) => config.group).filter((id) => id !== undefined);
    return [...new Set(ids)].sort((a, b) => a - b);
  }

  get drivers(): ReadonlyMap<string, Driver> {
    return this.driverCore.drivers;
  }

  get loadedModules(): ReadonlySet<string> {
    return this.driverCore.loadedModules;
  }

  // Coming and going of functions

  /** Surprise removal, or `remove`: everything that has the device's path fails from now on. */
  vanish(bdf: string): void {
    const fn = this.find(bdf);
    if (fn === undefined) return;
    for (const vf of fn.virtfns) this.vanish(vf);
    this.table.drop(fn.bdf);
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
      this.table.mustExist(fn);
      if (fn.driver !== undefined) await this.driverCore.release(fn);
      this.vanish(fn.bdf);
    });
  }

  /** `/sys/bus/pci/rescan`: removed functions come back without override, on their native driver. */
  rescan(): void {
    for (const [bdf, config] of this.#removed) {
      this.#removed.delete(bdf);
      const fn = createFunction(config);
      this.table.insert(fn);
      this.driverCore.attach(fn);
    }
  }

  // Processes

  startProcess(config: ProcessConfig): Process {
    return this.processes.start(config);
  }

  /** SIGKILL, or an orderly end: descriptors are closed, VFIO devices given back. */
  endProcess(pid: number): void {
    if (this.processes.get(pid) === undefined) return;
    this.nodes.forget(pid);
    const all = [...this.functions, ...this.mdevs.functions];
    for (const fn of all) this.iommufd.unbind(pid, fn);
    this.vfio.releaseAll(pid, all);
    this.processes.end(pid);
    this.nodes.wakeClosers();
    this.trace.add('kernel', `process ${pid} is gone`);
  }

  setMemlock(pid: number, limit: MemlockLimit): void {
    this.processes.require(pid).memlock = limit;
  }
}
