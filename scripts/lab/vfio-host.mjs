// The nested VFIO lab: a Linux host with an emulated IOMMU, real vfio-pci and real IOMMU groups, running
// this machine's own Node, QEMU and checkout. About 25 s to boot; one boot serves many scenarios.
import { copyFile, mkdir, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Agent } from './agent.mjs';
import { SocketConsole } from './console.mjs';
import { KERNEL_ARGS, readInit } from './guest.mjs';
import { HostJob } from './host-job.mjs';
import { makeInitramfs } from './initramfs.mjs';
import { bootInnerGuest } from './inner-guest.mjs';
import { InnerQemu } from './inner-qemu.mjs';
import { findKernel } from './kernel.mjs';
import { HOST_CPU, launchQemu } from './qemu.mjs';
import { HOST_DEVICES, NVME_BYTES } from './vfio-devices.mjs';

/** @typedef {import('./vfio-devices.mjs').HostDeviceName} HostDeviceName */

/**
 * @typedef {object} VfioHostOptions
 * @property {import('./kernel.mjs').Kernel} [kernel] default: Debian's own, which has no iommufd
 * @property {readonly HostDeviceName[]} [devices] default: all of `HOST_DEVICES`
 * @property {readonly string[]} [args] further QEMU arguments: more devices
 * @property {readonly string[]} [modules] loaded besides those of `devices`; default `vfio-pci`
 * @property {'intel' | 'amd' | 'none'} [iommu] default `intel`
 * @property {boolean} [interruptRemapping] default true
 * @property {readonly string[]} [kernelArgs] after `intel_iommu=on iommu=pt`
 * @property {number} [memoryMiB] default 2048
 * @property {number} [processors] default 1: under TCG a second one doubles what every process start costs
 * @property {readonly string[]} [keep] directories to show although they lie below /tmp or /run;
 *   the current directory, Node's and the kernel's are always shown
 * @property {number} [readyDeadlineMs] default 180,000
 */

/** ttyS0 is the console, ttyS1 the agent's; these are for the monitors of inner machines. */
const INNER_TTYS = ['/dev/ttyS2', '/dev/ttyS3'];

/** A booted host. `await using`, or call {@link kill}. */
export class VfioHost {
  /** The machine around it; its `qmp` can hot-plug devices into the host itself. */
  qemu;
  #agent;
  #console;
  /** @type {import('./inner-qemu.mjs').InnerLine[]} */
  #lines;
  #lastId = 0;

  /**
   * @param {import('./qemu.mjs').Qemu} qemu
   * @param {Agent} agent
   * @param {SocketConsole} console
   * @param {import('./inner-qemu.mjs').InnerLine[]} lines
   */
  constructor(qemu, agent, console, lines) {
    this.qemu = qemu;
    this.#agent = agent;
    this.#console = console;
    this.#lines = lines;
  }

  /** What the kernel has said on the console: warnings and worse; {@link kernelLog} has all. */
  console() {
    return this.#console.text;
  }

  /** @param {number} deadlineMs */
  async waitUntilReady(deadlineMs) {
    const seen = () => 'a ready VFIO host';
    try {
      await this.qemu.orItsEnd(this.#agent.waitUntilReady(deadlineMs, seen));
    } catch (error) {
      // A kernel that panics ends the machine, and says why on the console alone.
      const ends = `its console ends: ${this.console().slice(-4000)}`;
      throw new Error(`the VFIO host did not come up; ${ends}`, { cause: error });
    }
  }

  /** The host's PCI functions as of the last time one came, went, or got or lost a driver. */
  pciDevices() {
    return this.#agent.pciDevices;
  }

  /**
   * @param {(devices: readonly import('./agent.mjs').PciFunction[]) => boolean} matches
   * @param {number} [deadlineMs]
   */
  async waitForPci(matches, deadlineMs = 60_000) {
    return this.qemu.orItsEnd(this.#agent.waitForPci(matches, deadlineMs));
  }

  /**
   * The host's address of a device, by its qdev id in the outer QEMU (`nic`, `pair1` ...).
   *
   * @param {string} id
   * @returns {Promise<string>} canonical: `0000:00:07.0`
   */
  async bdf(id) {
    const buses = /** @type {PciBus[]} */ (await this.qemu.qmp.execute('query-pci'));
    const found = buses.flatMap(({ devices }) => devicesBelow(devices)).find(hasId(id));
    if (!found) throw new Error(`the VFIO host has no device ${id}`);
    const hex = (/** @type {number} */ value) => value.toString(16).padStart(2, '0');
    return `0000:${hex(found.bus)}:${hex(found.slot)}.${found.function}`;
  }

  /**
   * Starts a program in the host and does not wait for it.
   *
   * @param {readonly string[]} argv
   * @param {import('./host-job.mjs').JobOptions} [options]
   */
  async spawn(argv, options = {}) {
    const jobs = join(this.qemu.directory, 'exchange', 'jobs');
    return HostJob.start(jobs, this.#agent, String(++this.#lastId), argv, options);
  }

  /**
   * Runs a program in the host to its end, whatever its exit status.
   *
   * @param {readonly string[]} argv
   * @param {import('./host-job.mjs').JobOptions & { deadlineMs?: number }} [options]
   */
  async run(argv, { deadlineMs = 120_000, ...options } = {}) {
    const job = await this.spawn(argv, options);
    try {
      return await this.qemu.orItsEnd(job.wait(deadlineMs));
    } catch (error) {
      // Where the host itself went down, its kernel's last words say why.
      const ends = `the host's console ends: ${this.console().slice(-4000)}`;
      throw new Error(`${argv.join(' ')}\n${ends}`, { cause: error });
    }
  }

  /**
   * Runs a shell script in the host, as root, and gives its standard output.
   *
   * @param {string} script
   * @param {import('./host-job.mjs').JobOptions & { deadlineMs?: number }} [options]
   * @throws when its exit status is not 0, with what it wrote.
   */
  async sh(script, options) {
    const { status, stdout, stderr } = await this.run(['sh', '-euc', script], options);
    if (status === 0) return stdout;
    throw new Error(`${script}\nended with status ${status}: ${stderr || stdout}`);
  }

  /** The kernel's whole log. */
  async kernelLog() {
    return this.sh('dmesg');
  }

  /**
   * Starts a QEMU in the host; two may run at once, or one guest. Paths in `args` are the host's.
   *
   * @param {import('./qemu.mjs').QemuOptions} [options]
   * @returns {Promise<InnerQemu>} once the machine is built
   * @throws when it refuses its arguments, with what it said.
   */
  async startQemu(options = {}) {
    const line = this.#takeLine();
    const spawn = (/** @type {readonly string[]} */ argv) => this.spawn(argv);
    const start = InnerQemu.start(spawn, `inner-${++this.#lastId}`, line, options);
    return this.qemu.orItsEnd(start);
  }

  /**
   * Boots a Linux guest in a QEMU in the host: about two minutes, emulation within emulation.
   *
   * @param {import('./guest.mjs').GuestOptions} [options]
   * @returns {Promise<import('./guest.mjs').Guest<InnerQemu>>} once it has listed its devices
   */
  async bootGuest(options = {}) {
    const line = this.#takeLine();
    const share = join(this.qemu.directory, 'exchange');
    const start = bootInnerGuest(
      { share, line, startQemu: (more) => this.startQemu(more) },
      options,
    );
    return this.qemu.orItsEnd(start);
  }

  #takeLine() {
    const line = this.#lines.find(({ taken }) => !taken);
    if (!line) throw new Error('no serial line is left for another inner machine');
    line.taken = true;
    return line;
  }

  async kill() {
    await this.qemu.kill();
  }

  async [Symbol.asyncDispose]() {
    await this.kill();
  }
}

/**
 * Boots a host.
 *
 * @param {VfioHostOptions} [options]
 * @returns {Promise<VfioHost>} once it takes commands and the drivers are loaded
 * @throws when there is no kernel yet, when QEMU refuses, or when the host is not ready in time.
 */
export async function bootVfioHost(options = {}) {
  const names = options.devices ?? /** @type {HostDeviceName[]} */ (Object.keys(HOST_DEVICES));
  const devices = names.map((name) => HOST_DEVICES[name]);
  const machine = {
    machine: 'q35,kernel-irqchip=split',
    memoryMiB: options.memoryMiB ?? 2048,
    processors: options.processors ?? 1,
    cpu: HOST_CPU,
  };
  const { qemu, sockets } = await launchQemu(
    machine,
    ['console', 'agent', 'inner0', 'inner1'],
    async (directory) => [
      ...(await prepareShare(directory, options)),
      ...iommuArgs(options),
      ...devices.flatMap(({ args }) => args(directory)),
      ...(options.args ?? []),
    ],
  );
  const [console, agent, ...inner] = sockets;
  if (!console || !agent) throw new Error('QEMU did not dial the serial ports');
  const lines = inner.map((socket, i) => ({ socket, tty: INNER_TTYS[i] ?? '', taken: false }));
  const host = new VfioHost(qemu, new Agent(agent), new SocketConsole(console), lines);
  try {
    await host.waitUntilReady(options.readyDeadlineMs ?? 180_000);
    const native = devices.flatMap(({ modules }) => modules);
    const modules = new Set([...native, ...(options.modules ?? ['vfio-pci'])]);
    if (modules.size > 0) await host.sh(`modprobe -a ${[...modules].join(' ')}`);
    return host;
  } catch (error) {
    await host.kill();
    throw error;
  }
}

/**
 * Writes what the host boots from into the machine's directory, and shares it and the root with it.
 *
 * @param {string} directory
 * @param {VfioHostOptions} options
 */
async function prepareShare(directory, options) {
  const kernel = options.kernel ?? findKernel();
  if (!kernel) throw new Error('no kernel for the host; run scripts/setup.sh');
  const keep = [process.cwd(), dirname(process.execPath), ...(options.keep ?? [])];
  const hidden = keep.filter((path) => /^\/(tmp|run|var\/tmp)\//.test(path));
  const initramfs = await makeInitramfs({
    kernel,
    init: await readInit('vfio-host-init.sh'),
    modules: ['virtio_pci', '9pnet_virtio', '9p', 'overlay'],
    files: {
      'lab.conf': `RELEASE='${kernel.release}' MODULES='${kernel.modulesDirectory}' KEEP='${hidden.join(' ')}'\n`,
    },
  });
  const exchange = join(directory, 'exchange');
  await mkdir(exchange);
  await copyFile(join(import.meta.dirname, 'vfio-host-agent.sh'), join(exchange, 'agent.sh'));
  await writeFile(join(directory, 'initrd'), initramfs);
  await writeFile(join(directory, 'nvme.img'), '');
  await truncate(join(directory, 'nvme.img'), NVME_BYTES);
  const share = 'security_model=none,multidevs=remap';
  // On a busy machine the kernel's checks of its clocks fail at times: it panics, or falls back to a slow one.
  const kernelArgs = [...KERNEL_ARGS, 'iommu=pt', 'no_timer_check', 'tsc=reliable'];
  if (options.iommu !== 'amd' && options.iommu !== 'none') kernelArgs.push('intel_iommu=on');
  return [
    ...['-kernel', kernel.vmlinux, '-initrd', join(directory, 'initrd')],
    // A host that panics ends, instead of starting over.
    '-no-reboot',
    ...['-append', [...kernelArgs, ...(options.kernelArgs ?? [])].join(' ')],
    ...['-virtfs', `local,path=/,mount_tag=hostroot,readonly=on,${share}`],
    ...['-virtfs', `local,path=${exchange},mount_tag=exchange,${share}`],
  ];
}

/** @param {VfioHostOptions} options */
function iommuArgs({ iommu = 'intel', interruptRemapping = true }) {
  const remapping = `intremap=${interruptRemapping ? 'on' : 'off'}`;
  switch (iommu) {
    case 'intel':
      return ['-device', `intel-iommu,${remapping},caching-mode=on,aw-bits=48`];
    case 'amd':
      return ['-device', `amd-iommu,${remapping}`];
    case 'none':
      return [];
  }
}

/**
 * What is used of `query-pci`.
 *
 * @typedef {{ bus: number, slot: number, function: number, qdev_id: string,
 *   pci_bridge?: { devices?: PciDevice[] } }} PciDevice
 * @typedef {{ devices: PciDevice[] }} PciBus
 */

/** @param {readonly PciDevice[]} devices @returns {PciDevice[]} */
function devicesBelow(devices) {
  return devices.flatMap((device) => [device, ...devicesBelow(device.pci_bridge?.devices ?? [])]);
}

/** @param {string} id */
const hasId = (id) => (/** @type {PciDevice} */ device) => device.qdev_id === id;
