import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
} from 'testcontainers';
import { Agent, type PciFunction } from '../../scripts/lab/agent.mjs';
import { withDeadline } from '../../scripts/lab/deadline.mjs';
import { GUEST_MEMORY_MIB, guestArgs, prepareGuest } from '../../scripts/lab/guest.mjs';
import { makeRunDirectory, removeRunDirectory } from '../../scripts/lab/process.mjs';
import { acceptOne, machineArgs, monitorArgs } from '../../scripts/lab/qemu.mjs';
import { imageOf } from '../../scripts/lab/qemu-versions.mjs';
import { RawQmp } from './raw-qmp.js';
import type { QemuOptions, QemuVersion } from './qemu.js';

export interface ContainerOptions extends QemuOptions {
  readonly version: QemuVersion;
  /** The host's network, or a namespace of its own with nothing in it. Default `host`. */
  readonly network?: 'host' | 'none';
  /** With the lab's Linux guest in it, which is up when the start returns. */
  readonly guest?: boolean;
}

/** QEMU of an image of docker/, as the first process of a container. `await using` ends it. */
export class QemuContainer implements AsyncDisposable {
  /** Monitors for the code under test, in a directory that host and container share. */
  readonly qmpPath: string;
  readonly otherQmpPath: string;
  /** The test's own view of the machine. */
  readonly qmp: RawQmp;
  /** As the host numbers it. */
  readonly pid: number;
  readonly directory: string;
  readonly #container: StartedTestContainer;
  readonly #guest: Agent | undefined;

  private constructor(
    container: StartedTestContainer,
    found: { qmp: RawQmp; pid: number; directory: string; guest: Agent | undefined },
  ) {
    this.#container = container;
    this.#guest = found.guest;
    this.directory = found.directory;
    this.qmp = found.qmp;
    this.pid = found.pid;
    this.qmpPath = join(found.directory, 'qmp.sock');
    this.otherQmpPath = join(found.directory, 'qmp2.sock');
  }

  static async start(options: ContainerOptions): Promise<QemuContainer> {
    const { version, program = 'qemu-system-x86_64', network = 'host', args = [] } = options;
    const directory = makeRunDirectory();
    const dialled = await acceptOne(join(directory, 'lab.sock'));
    const guest = options.guest === true ? await placeGuest(directory) : undefined;
    let container: StartedTestContainer | undefined;
    try {
      container = await new GenericContainer(imageOf(version))
        .withNetworkMode(network)
        .withBindMounts([{ source: directory, target: directory }])
        .withCommand([
          program,
          ...machineArgs({ ...(guest && { memoryMiB: GUEST_MEMORY_MIB }), ...options }),
          ...monitorArgs(directory),
          ...(guest?.args ?? []),
          ...args,
        ])
        .start();
      const qmp = new RawQmp(await withDeadline(dialled.socket, 30_000, () => `QEMU ${version}`));
      await qmp.negotiate();
      const agent = guest && new Agent(await guest.agent.socket);
      await agent?.waitUntilReady(120_000, () => `the guest of QEMU ${version}`);
      const client = await getContainerRuntimeClient();
      const { State } = await client.container.inspect(client.container.getById(container.getId()));
      return new QemuContainer(container, { qmp, pid: State.Pid, directory, guest: agent });
    } catch (error) {
      const said = container === undefined ? '' : await lastWords(container);
      removeRunDirectory(directory);
      throw new Error(`QEMU ${version} did not start in its container; ${said}`, { cause: error });
    } finally {
      dialled.stopListening();
      guest?.agent.stopListening();
    }
  }

  /** Waits until the guest has as many PCI functions of this vendor and device as told. */
  async waitForGuest(vendorId: number, deviceId: number, count: number): Promise<void> {
    if (this.#guest === undefined) throw new Error('there is no guest in this machine');
    const isMeant = (fn: PciFunction) => fn.vendorId === vendorId && fn.deviceId === deviceId;
    await this.#guest.waitForPci((listed) => listed.filter(isMeant).length === count, 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.qmp.close();
    await this.#container.stop({ timeout: 0 });
    removeRunDirectory(this.directory);
  }
}

/** Kernel and first file system go where the container sees them; the agent's line ends here. */
async function placeGuest(directory: string) {
  const { image, initramfs } = await prepareGuest({});
  const [kernel, initrd] = [join(directory, 'kernel'), join(directory, 'initrd')];
  await copyFile(image, kernel);
  await writeFile(initrd, initramfs);
  const path = join(directory, 'agent.sock');
  return {
    agent: await acceptOne(path),
    args: [
      ...['-serial', 'null', '-chardev', `socket,id=agent,path=${path}`],
      ...['-serial', 'chardev:agent', ...guestArgs(kernel, initrd, {})],
    ],
  };
}

/** Ends a container, and tells what was printed in it. */
async function lastWords(container: StartedTestContainer): Promise<string> {
  let said = '';
  const log = await container.logs();
  log.on('data', (text) => (said += String(text)));
  await container.stop({ timeout: 0 });
  return said.trim() || 'it said nothing';
}
