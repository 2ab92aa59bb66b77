import { expect } from 'vitest';
import { CliHome } from '../cli/run-cli.js';
import type { Guest } from '../support/qemu.js';

export interface AttachedDevice {
  readonly id: string;
  readonly port: string;
  readonly addr: string;
  readonly guestPath: string;
  readonly guestBdf: string | null;
}

/** A guest with a command line that has a home of its own. */
export class GuestBench implements AsyncDisposable {
  readonly home = new CliHome();
  readonly guest: Guest;

  constructor(guest: Guest) {
    this.guest = guest;
  }

  get vm(): string {
    return this.guest.qmpPath;
  }

  /** Attaches an emulated device; it must succeed. */
  async attach(driver: string, id: string, ...more: readonly string[]): Promise<AttachedDevice> {
    const device = JSON.stringify({ driver });
    const ran = await this.home.json(['attach', this.vm, '--device', device, '--id', id, ...more]);
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    // Checked by the expectations on the document's shape.
    const { functions } = ran.document.attachment as { functions: readonly AttachedDevice[] };
    const [attached] = functions;
    if (attached === undefined) throw new Error(`${id} is not in the document`);
    return attached;
  }

  /** Detaches a device; the guest must let go of it. */
  async detach(id: string): Promise<void> {
    const ran = await this.home.json(['detach', this.vm, id, '--timeout', '60']);
    expect(ran).toMatchObject({
      status: 0,
      document: { removals: [{ id, state: 'unplugged' }] },
    });
  }

  /** Waits until a path of the guest's sysfs is there, or is not. */
  async waitFor(path: string, present: boolean): Promise<void> {
    const test = `[ ${present ? '-e' : '! -e'} ${path} ]`;
    const wait = `n=0; until ${test} || [ $n -ge 600 ]; do n=$((n+1)); sleep 0.05; done; ${test}`;
    expect(await this.guest.run(wait, { deadlineMs: 60_000 }), path).toMatchObject({ status: 0 });
  }

  /**
   * Attaches, and looks for the device in the guest where we say that it is.
   *
   * @returns what was reported of the device.
   */
  async come(driver: string, id: string, port: string): Promise<AttachedDevice> {
    const device = await this.attach(driver, id, '--port', port);
    const path = `/sys/bus/pci/devices/${device.guestBdf}`;
    await this.waitFor(path, true);
    expect(await this.pathInGuest(path)).toBe(device.guestPath);
    const { output } = await this.guest.run(`head -n 1 ${path}/resource`);
    if (driver === 'pci-testdev') expect(output, 'its first BAR').toMatch(/^0x0*[1-9a-f]/);
    return device;
  }

  /** The same, and detaches and sees it gone. */
  async comeAndGo(driver: string, id: string, port: string): Promise<AttachedDevice> {
    const device = await this.come(driver, id, port);
    await this.detach(id);
    await this.waitFor(`/sys/bus/pci/devices/${device.guestBdf}`, false);
    return device;
  }

  /** The way to a PCI function as the guest's sysfs has it, in our words. */
  async pathInGuest(path: string): Promise<string> {
    const { output } = await this.guest.run(`readlink -f ${path}`);
    const [root = '', ...hops] = output
      .trim()
      .replace(/^.*\/(?=pci[0-9a-f]{4}:)/, '')
      .split('/');
    const slots = hops.map((hop) => hop.slice(hop.lastIndexOf(':') + 1).replace(/\.0$/, ''));
    return [...(root === 'pci0000:00' ? [] : [root]), ...slots].join('/');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.kill();
    this.home[Symbol.dispose]();
  }
}
