// A QEMU process for a test: TCG, no defaults, two monitors to use and a third for the lab itself.
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Changes } from './deadline.mjs';
import { endChild, makeRunDirectory, removeRunDirectory, spawnTied } from './process.mjs';
import { findQemu } from './qemu-versions.mjs';
import { RawQmp } from './raw-qmp.mjs';

/**
 * @typedef {object} QemuOptions
 * @property {readonly string[]} [args] further arguments: ports, devices, objects
 * @property {string} [binary] default `qemu-system-x86_64`
 * @property {import('./qemu-versions.mjs').QemuVersion} [version] one that scripts/setup.sh has unpacked,
 *   instead of the installed one
 * @property {import('./qemu-versions.mjs').QemuProgram} [program] of that version
 * @property {string} [machine] default `q35`; may carry properties: `q35,acpi=off`
 * @property {string} [cpu] default `max`
 * @property {number} [physBits] guest-physical address bits of the processor
 * @property {number} [memoryMiB] default 128
 * @property {number} [translationMiB] the most that QEMU keeps of translated code; default QEMU's own, a GiB
 * @property {number} [processors] default 1
 * @property {'acpi' | 'native'} [hotplug] how the ports of a q35 reach the guest; default `acpi`
 * @property {'seabios' | 'ovmf'} [firmware] default `seabios`; OVMF takes ten seconds longer
 * @property {boolean} [paused] starts with `-S`
 * @property {number} [deadlineMs] until the machine is built; default 30,000
 */

/**
 * The processor of machines that do a host's work. Under TCG a copy by `rep movsb` goes byte by byte, and five
 * levels of page tables are slower to walk than four: without both, booting and working take a tenth less.
 */
export const HOST_CPU = 'max,-erms,-la57';

const NATIVE_HOTPLUG = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'];
export const OVMF_CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd';
export const OVMF_VARS = '/usr/share/OVMF/OVMF_VARS_4M.fd';

/** A running QEMU. `await using`, or call {@link kill}. */
export class Qemu {
  /** Monitor for the code under test, which may hold it alone. */
  qmpPath;
  /** A second free monitor, for a second client. */
  otherQmpPath;
  /** The lab's own negotiated session: the test's view of the machine.
   * @type {RawQmp} */
  qmp;
  /** Where the machine's sockets lie; gone with the machine. */
  directory;

  #child;
  #stderr = '';
  #changes = new Changes();

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} directory
   * @param {RawQmp} qmp
   */
  constructor(child, directory, qmp) {
    this.#child = child;
    this.directory = directory;
    this.qmpPath = join(directory, 'qmp.sock');
    this.otherQmpPath = join(directory, 'qmp2.sock');
    this.qmp = qmp;
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.#stderr += String(text);
      this.#changes.changed();
    });
    child.stdout?.resume();
    child.once('error', (error) => this.#changes.fail(error));
    child.once('close', () => this.#changes.fail(this.#ended()));
  }

  get pid() {
    return /** @type {number} */ (this.#child.pid);
  }

  /** Everything QEMU has written to its standard error. */
  stderr() {
    return this.#stderr;
  }

  /** False once the process has ended, by itself or not. */
  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Waits for QEMU to end by itself.
   *
   * @param {{ deadlineMs?: number }} [options]
   */
  async waitForExit({ deadlineMs = 30_000 } = {}) {
    const ended = () => (this.running ? undefined : { code: this.#child.exitCode });
    this.#child.once('exit', () => this.#changes.changed());
    return this.#changes.until(ended, deadlineMs, () => 'the end of QEMU');
  }

  /**
   * Rejects when QEMU ends before `promise` is settled, with what it wrote to its standard error.
   *
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  async orItsEnd(promise) {
    /** @type {(error: unknown) => void} */
    let stop = () => undefined;
    const end = new Promise((_, reject) => {
      stop = reject;
    });
    const ended = () => stop(this.#ended());
    this.#child.once('close', ended).once('error', stop);
    try {
      return await Promise.race([promise, /** @type {Promise<never>} */ (end)]);
    } catch (error) {
      // A socket's end is often seen before the end of the process that held it.
      if (!(await this.#endsWithin(1_000))) throw error;
      throw new Error(this.#ended().message, { cause: error });
    } finally {
      this.#child.off('close', ended).off('error', stop);
    }
  }

  /** Ends the process and removes its directory; idempotent. */
  async kill() {
    this.qmp.close();
    await endChild(this.#child);
    removeRunDirectory(this.directory);
  }

  async [Symbol.asyncDispose]() {
    await this.kill();
  }

  /** @param {number} milliseconds */
  async #endsWithin(milliseconds) {
    if (!this.running) return true;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const ended = await new Promise((resolve) => {
      timer = setTimeout(resolve, milliseconds, false);
      this.#child.once('close', () => resolve(true));
    });
    clearTimeout(timer);
    return Boolean(ended);
  }

  #ended() {
    const how = this.#child.signalCode ?? `status ${this.#child.exitCode}`;
    return new Error(`QEMU ended (${how}): ${this.#stderr.trim() || 'it said nothing'}`);
  }
}

/**
 * Starts a machine without an operating system: the firmware idles, or under `paused` nothing runs.
 *
 * @param {QemuOptions} [options]
 * @returns {Promise<Qemu>} once the machine is built and its monitors listen
 * @throws when QEMU refuses its arguments, with what it said.
 */
export async function startQemu(options = {}) {
  const { qemu } = await launchQemu(options, []);
  return qemu;
}

/**
 * Starts a machine whose serial ports, in the order of `serials`, end in sockets held here.
 * The lab listens and QEMU dials, so not a byte is lost and nothing is retried.
 *
 * @param {QemuOptions} options
 * @param {readonly string[]} serials
 * @param {(directory: string) => Promise<readonly string[]>} [moreArgs] given the machine's directory
 * @param {(paths: { console: string, agent: string }) => readonly string[]} [lines] the arguments that end
 *   `console` and `agent` in the sockets at these paths, where they are no two serial ports
 * @returns {Promise<{ qemu: Qemu, sockets: import('node:net').Socket[] }>}
 */
export async function launchQemu(options, serials, moreArgs = async () => [], lines) {
  const directory = makeRunDirectory();
  const dialled = await Promise.all(
    ['lab', ...serials].map((name) => acceptOne(join(directory, `${name}.sock`))),
  );
  const further = await moreArgs(directory);
  const child = spawnTied(programOf(options), [
    ...machineArgs(options),
    ...monitorArgs(directory),
    ...(lines === undefined
      ? serials.flatMap((name) => serialPort(name, join(directory, `${name}.sock`)))
      : lines({ console: join(directory, 'console.sock'), agent: join(directory, 'agent.sock') })),
    ...further,
    ...(options.args ?? []),
  ]);
  // Made before the first event of the child can pass unseen; its session follows at once.
  const pending = /** @type {RawQmp} */ (/** @type {unknown} */ ({ close: () => undefined }));
  const qemu = new Qemu(child, directory, pending);
  try {
    const [lab, ...sockets] = await qemu.orItsEnd(Promise.all(dialled.map((one) => one.socket)));
    if (!lab) throw new Error('QEMU did not dial its first monitor');
    qemu.qmp = new RawQmp(lab);
    await qemu.orItsEnd(qemu.qmp.negotiate({ deadlineMs: options.deadlineMs ?? 30_000 }));
    return { qemu, sockets };
  } catch (error) {
    await qemu.kill();
    throw error;
  } finally {
    for (const one of dialled) one.stopListening();
  }
}

/** @param {QemuOptions} options */
function programOf({ binary, version, program = 'qemu-system-x86_64' }) {
  if (version === undefined) return binary ?? program;
  const path = findQemu(version, program);
  if (path === undefined) throw new Error(`no QEMU ${version}; run scripts/setup.sh docker`);
  return path;
}

/** @param {string} name @param {string} path */
function serialPort(name, path) {
  return ['-chardev', `socket,id=serial-${name},path=${path}`, '-serial', `chardev:serial-${name}`];
}

/** What every machine of the lab has, whether it runs here or inside another one.
 * @param {QemuOptions} options */
export function machineArgs(options) {
  const { machine = 'q35', memoryMiB = 128, processors = 1, cpu = 'max', physBits } = options;
  const { translationMiB } = options;
  const accelerator = translationMiB === undefined ? 'tcg' : `tcg,tb-size=${translationMiB}`;
  return [
    ...['-machine', machine, '-accel', accelerator],
    ...['-cpu', physBits === undefined ? cpu : `${cpu},phys-bits=${physBits}`],
    ...['-m', String(memoryMiB), '-smp', String(processors)],
    ...['-nodefaults', '-display', 'none', '-no-user-config'],
    // The ports of a q35 are native in any case before 6.1, which does not know the property.
    ...(options.hotplug === 'native' && options.version !== '5.2' ? NATIVE_HOTPLUG : []),
    ...(options.firmware === 'ovmf' ? ovmfArgs() : []),
    ...(options.paused ? ['-S'] : []),
  ];
}

/** Changes that OVMF makes to its variables last as long as the machine. */
function ovmfArgs() {
  return [
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${OVMF_CODE}`],
    ...['-drive', `if=pflash,unit=1,format=raw,snapshot=on,file=${OVMF_VARS}`],
  ];
}

/** The monitors of {@link Qemu}, below its directory; QEMU dials the lab's.
 * @param {string} directory */
export function monitorArgs(directory) {
  const server = 'server=on,wait=off';
  return [
    ...['-chardev', `socket,id=qmp,path=${join(directory, 'qmp.sock')},${server}`],
    ...['-chardev', `socket,id=qmp2,path=${join(directory, 'qmp2.sock')},${server}`],
    ...['-chardev', `socket,id=lab,path=${join(directory, 'lab.sock')}`],
    ...['qmp', 'qmp2', 'lab'].flatMap((id) => ['-mon', `chardev=${id},mode=control`]),
  ];
}

/** Listens at `path` for the one connection that will come.
 * @param {string} path */
export async function acceptOne(path) {
  const server = createServer();
  /** @type {Promise<import('node:net').Socket>} */
  const socket = new Promise((resolve) => server.once('connection', resolve));
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(path, () => resolve(undefined));
  });
  return { socket, stopListening: () => server.close() };
}
