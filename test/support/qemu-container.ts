import { join } from 'node:path';
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer } from 'testcontainers';
import { withDeadline } from '../../scripts/lab/deadline.mjs';
import { makeRunDirectory, removeRunDirectory } from '../../scripts/lab/process.mjs';
import { acceptOne, machineArgs, monitorArgs } from '../../scripts/lab/qemu.mjs';
import { imageOf } from '../../scripts/lab/qemu-versions.mjs';
import { RawQmp } from './raw-qmp.js';
import type { QemuOptions, QemuVersion } from './qemu.js';

export interface ContainerOptions extends QemuOptions {
  readonly version: QemuVersion;
  /** The host's network, or a namespace of its own with nothing in it. Default `host`. */
  readonly network?: 'host' | 'none';
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

  private constructor(
    container: StartedTestContainer,
    found: { qmp: RawQmp; pid: number; directory: string },
  ) {
    this.#container = container;
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
    let container: StartedTestContainer | undefined;
    try {
      container = await new GenericContainer(imageOf(version))
        .withNetworkMode(network)
        .withBindMounts([{ source: directory, target: directory }])
        .withCommand([program, ...machineArgs(options), ...monitorArgs(directory), ...args])
        .start();
      const qmp = new RawQmp(await withDeadline(dialled.socket, 30_000, () => `QEMU ${version}`));
      await qmp.negotiate();
      const client = await getContainerRuntimeClient();
      const { State } = await client.container.inspect(client.container.getById(container.getId()));
      return new QemuContainer(container, { qmp, pid: State.Pid, directory });
    } catch (error) {
      const said = container === undefined ? '' : await lastWords(container);
      removeRunDirectory(directory);
      throw new Error(`QEMU ${version} did not start in its container; ${said}`, { cause: error });
    } finally {
      dialled.stopListening();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.qmp.close();
    await this.#container.stop({ timeout: 0 });
    removeRunDirectory(this.directory);
  }
}

/** Ends a container, and tells what was printed in it. */
async function lastWords(container: StartedTestContainer): Promise<string> {
  let said = '';
  const log = await container.logs();
  log.on('data', (text) => (said += String(text)));
  await container.stop({ timeout: 0 });
  return said.trim() || 'it said nothing';
}
