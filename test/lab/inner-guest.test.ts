import { expect, it } from 'vitest';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type VfioHost } from '../support/vfio-host.js';

const MINUTE_MS = 60_000;

it('gives a network card of the host to a Linux guest, which drives it, and takes it back', async () => {
  await using host = await bootVfioHost({ devices: ['nic'] });
  const nic = await host.bdf('nic');
  await using guest = await host.bootGuest({ args: rootPort('rp0', 2), modules: ['e1000e'] });
  const driven = () => guest.pciDevices().find(({ driver }) => driver === 'e1000e');
  expect(driven()).toBeUndefined();

  expect(await qmplug(host, 'attach', guest.qmpPath, nic)).toMatchObject({
    attachment: { already: false, functions: [{ host: nic, port: 'rp0' }] },
  });
  expect(await driverOf(host, nic)).toBe('vfio-pci');
  await guest.waitForPci(() => driven() !== undefined, 3 * MINUTE_MS);
  expect(driven()).toMatchObject({ vendorId: 0x8086, deviceId: 0x10d3 });

  expect(await qmplug(host, 'detach', guest.qmpPath, nic)).toMatchObject({
    removals: [{ state: 'released' }],
  });
  await guest.waitForPci(() => driven() === undefined, 3 * MINUTE_MS);
  expect(await driverOf(host, nic)).toBe('e1000e');
});

/** Runs the command line of `dist` in the host, and gives the document that it prints. */
async function qmplug(host: VfioHost, ...args: readonly string[]): Promise<unknown> {
  const argv = ['node', 'dist/cli/main.js', ...args, '--timeout', '120', '--json'];
  const result = await host.run(argv, { deadlineMs: 5 * MINUTE_MS });
  expect(result, result.stdout + result.stderr).toMatchObject({ status: 0 });
  return JSON.parse(result.stdout) as unknown;
}

async function driverOf(host: VfioHost, bdf: string) {
  return (await host.sh(`basename "$(readlink /sys/bus/pci/devices/${bdf}/driver)"`)).trim();
}
