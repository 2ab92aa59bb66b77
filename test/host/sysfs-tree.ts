import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { createHostEffects } from '../../src/host/real-effects.js';
import type { HostEffects } from '../../src/host/effects.js';
import type { HostRoots } from '../../src/host/roots.js';
import { toBdf, type Bdf } from '../../src/pci/pci-address.js';

export interface FunctionSetup {
  /** Directory names above it below /sys/devices: `['pci0000:00', '0000:00:01.0']`. */
  readonly above?: readonly string[];
  readonly vendor?: string;
  readonly device?: string;
  readonly class?: string;
  readonly driver?: string;
  readonly module?: string;
  readonly override?: string;
  readonly group?: number;
  readonly numaNode?: number;
  readonly resource?: string;
  readonly resetMethod?: string;
  readonly bootVga?: boolean;
  readonly totalVfs?: number;
  readonly physfn?: string;
  readonly modalias?: string;
}

export interface ProcessSetup {
  readonly command?: string;
  readonly state?: string;
  readonly startTime?: number;
  readonly threadCount?: number;
  /** Targets of its descriptors. */
  readonly files?: readonly string[];
  readonly mountNamespace?: string;
  readonly networkNamespace?: string;
  readonly mountInfo?: string;
  readonly cwd?: string;
  readonly status?: string;
}

export const BOOT_ID = '0d3c6a4e-1111-4222-8333-444455556666';
const OWN_MOUNT_NAMESPACE = 'mnt:[4026531841]';
const OWN_NETWORK_NAMESPACE = 'net:[4026531840]';

/** Thousands of small files come and go: on a disk that takes several times as long. */
const MEMORY = '/dev/shm';

/**
 * A folder in memory where there is one, by a name outside of /dev: the code under test takes what is
 * named below that for the host's.
 */
function makeFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'qmplug-host-'));
  const removeAll = (...folders: readonly string[]) => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  };
  if (!existsSync(MEMORY)) return { path, remove: () => removeAll(path) };
  const inMemory = mkdtempSync(join(MEMORY, 'qmplug-host-'));
  rmdirSync(path);
  symlinkSync(inMemory, path);
  return { path, remove: () => removeAll(path, inMemory) };
}

/**
 * A small host in a temporary folder, laid out as the kernel does: the devices lie below
 * /sys/devices and everything else is relative links to them.
 */
export class HostTree implements Disposable {
  private readonly folder = makeFolder();
  readonly root = this.folder.path;
  readonly roots: HostRoots = {
    sysfs: join(this.root, 'sys'),
    proc: join(this.root, 'proc'),
    dev: join(this.root, 'dev'),
    run: join(this.root, 'run'),
    modules: join(this.root, 'modules'),
  };
  readonly effects: HostEffects = createHostEffects({ roots: this.roots });
  private readonly paths = new Map<string, string>();

  constructor() {
    for (const path of ['/sys/bus/pci/devices', '/sys/kernel/iommu_groups', '/dev/vfio']) {
      this.directory(path);
    }
    this.file('/proc/sys/kernel/random/boot_id', `${BOOT_ID}\n`);
    this.file('/proc/sys/kernel/osrelease', '6.12.95\n');
    this.file('/proc/self/mountinfo', '');
    this.link('/proc/self/ns/pid', 'pid:[4026531836]');
    this.link('/proc/self/ns/mnt', OWN_MOUNT_NAMESPACE);
    this.link('/proc/self/ns/net', OWN_NETWORK_NAMESPACE);
    this.addProcess(1, { command: 'init', startTime: 1 });
  }

  [Symbol.dispose](): void {
    this.folder.remove();
  }

  /** Adds a PCI function and gives its path below /sys/devices. */
  addFunction(address: string, setup: FunctionSetup = {}): Bdf {
    const bdf = toBdf(address);
    const path = posix.join('/sys/devices', ...(setup.above ?? ['pci0000:00']), bdf);
    this.paths.set(bdf, path);
    const attributes: Record<string, string | undefined> = {
      vendor: setup.vendor ?? '0x8086',
      device: setup.device ?? '0x10d3',
      subsystem_vendor: '0x8086',
      subsystem_device: '0x0000',
      class: setup.class ?? '0x020000',
      revision: '0x01',
      resource: setup.resource ?? `${'0x0000000000000000 '.repeat(2)}0x0000000000000000`,
      numa_node: String(setup.numaNode ?? -1),
      driver_override: setup.override ?? '(null)',
      reset_method: setup.resetMethod,
      boot_vga: setup.bootVga === undefined ? undefined : setup.bootVga ? '1' : '0',
      sriov_totalvfs: setup.totalVfs === undefined ? undefined : String(setup.totalVfs),
      modalias: setup.modalias,
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) this.file(`${path}/${name}`, `${value}\n`);
    }
    this.linkTo(`/sys/bus/pci/devices/${bdf}`, path);
    if (setup.driver !== undefined) this.setDriver(bdf, setup.driver, setup.module);
    if (setup.group !== undefined) {
      const group = `/sys/kernel/iommu_groups/${setup.group}`;
      this.linkTo(`${group}/devices/${bdf}`, path);
      this.linkTo(`${path}/iommu_group`, group);
    }
    if (setup.physfn !== undefined) this.addVirtfn(bdf, setup.physfn);
    return bdf;
  }

  /** Adds a device of a class below a function, `within` naming what lies between. */
  addChild(
    bdf: string,
    within: string,
    attributes: Readonly<Record<string, string>> = {},
    classDirectory = `/sys/class/${posix.basename(posix.dirname(within))}`,
  ): string {
    return this.addDevice(`${this.pathOf(bdf)}/${within}`, attributes, classDirectory);
  }

  /** Adds a device of a class at a path below /sys/devices. */
  addDevice(
    path: string,
    attributes: Readonly<Record<string, string>>,
    classDirectory: string,
  ): string {
    this.directory(path);
    for (const [name, value] of Object.entries(attributes)) {
      this.file(`${path}/${name}`, `${value}\n`);
    }
    this.linkTo(`${classDirectory}/${posix.basename(path)}`, path);
    return path;
  }

  setDriver(bdf: string, driver: string, module?: string): void {
    const directory = `/sys/bus/pci/drivers/${driver}`;
    this.directory(directory);
    // What the driver is made of shows by the driver itself; the container's module does not.
    if (driver === 'vfio-pci') this.directory('/sys/module/vfio_iommu_type1');
    if (module !== undefined) {
      this.directory(`/sys/module/${module}`);
      this.linkTo(`${directory}/module`, `/sys/module/${module}`);
    }
    this.linkTo(`${this.pathOf(bdf)}/driver`, directory);
  }

  addProcess(pid: number, setup: ProcessSetup = {}): void {
    const path = `/proc/${pid}`;
    const { command = 'test', state = 'S', threadCount = 1, startTime = 1000 } = setup;
    const zeros = (count: number) => Array.from({ length: count }, () => '0').join(' ');
    // Field 3 is the state, 20 the number of threads, 22 the start time.
    const stat = `${pid} (${command}) ${state} ${zeros(16)} ${threadCount} 0 ${startTime} ${zeros(30)}`;
    this.file(`${path}/stat`, `${stat}\n`);
    this.file(`${path}/comm`, `${command}\n`);
    this.link(`${path}/ns/mnt`, setup.mountNamespace ?? OWN_MOUNT_NAMESPACE);
    this.link(`${path}/ns/net`, setup.networkNamespace ?? OWN_NETWORK_NAMESPACE);
    this.link(`${path}/ns/user`, 'user:[4026531837]');
    this.link(`${path}/cwd`, setup.cwd ?? '/');
    this.directory(`${path}/fd`);
    (setup.files ?? []).forEach((target, index) => this.link(`${path}/fd/${index}`, target));
    if (setup.mountInfo !== undefined) this.file(`${path}/mountinfo`, setup.mountInfo);
    if (setup.status !== undefined) this.file(`${path}/status`, setup.status);
  }

  pathOf(bdf: string): string {
    const path = this.paths.get(bdf);
    if (path === undefined) throw new Error(`the tree has no ${bdf}`);
    return path;
  }

  file(path: string, text: string): void {
    mkdirSync(dirname(this.real(path)), { recursive: true });
    writeFileSync(this.real(path), text);
  }

  directory(path: string): void {
    mkdirSync(this.real(path), { recursive: true });
  }

  /** A link with exactly this target. */
  link(path: string, target: string): void {
    const real = this.real(path);
    mkdirSync(dirname(real), { recursive: true });
    if (lstatSync(real, { throwIfNoEntry: false }) !== undefined) rmSync(real);
    symlinkSync(target, real);
  }

  /** Whether the tree has something at the path. */
  has(path: string): boolean {
    return lstatSync(this.real(path), { throwIfNoEntry: false }) !== undefined;
  }

  remove(path: string): void {
    rmSync(this.real(path), { recursive: true });
  }

  /** A relative link from one canonical path to another, as sysfs has them. */
  linkTo(path: string, target: string): void {
    this.link(path, posix.relative(posix.dirname(path), target));
    mkdirSync(this.real(target), { recursive: true });
  }

  real(path: string): string {
    return join(this.root, path.replace(/^\/lib\/modules/, '/modules'));
  }

  private addVirtfn(vf: string, pf: string): void {
    this.linkTo(`${this.pathOf(vf)}/physfn`, this.pathOf(pf));
    const index = [...this.paths].filter(
      ([bdf]) =>
        bdf !== vf &&
        lstatSync(this.real(`${this.pathOf(bdf)}/physfn`), { throwIfNoEntry: false }) !== undefined,
    ).length;
    this.linkTo(`${this.pathOf(pf)}/virtfn${index}`, this.pathOf(vf));
  }
}
