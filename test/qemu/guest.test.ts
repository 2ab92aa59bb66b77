import { describe, expect, it } from 'vitest';
import { bootGuest, type PciFunction, rootPort, startQemu } from '../support/qemu.js';

const isTestDevice = (device: PciFunction) =>
  device.vendorId === 0x1b36 && device.deviceId === 0x0005;
const hasTestDevice = (devices: readonly PciFunction[]) => devices.some(isTestDevice);

describe.each(['acpi', 'native'] as const)('a guest with %s hot-plug', (hotplug) => {
  it('sees a device come, with its BAR placed, and go', async () => {
    await using guest = await bootGuest({ hotplug, args: rootPort('rp0', 2) });
    expect(hasTestDevice(guest.pciDevices())).toBe(false);

    await guest.qmp.execute('device_add', { driver: 'pci-testdev', id: 'dev0', bus: 'rp0' });
    const device = (await guest.waitForPci(hasTestDevice)).find(isTestDevice);
    expect(device?.resources[0]?.start).toBeGreaterThan(0n);

    await guest.qmp.execute('device_del', { id: 'dev0' });
    await guest.qmp.waitForDeleted('dev0');
    await guest.waitForPci((devices) => !hasTestDevice(devices));
  });
});

it('runs commands in the guest and gives their status and output', async () => {
  await using guest = await bootGuest();
  expect(await guest.run('echo one; echo two >&2; exit 3')).toEqual({
    status: 3,
    output: 'one\ntwo\n',
  });
});

it('has two monitors to give away beside its own', async () => {
  await using qemu = await startQemu({ paused: true });
  expect(await qemu.qmp.execute('query-status')).toMatchObject({ status: 'prelaunch' });
  expect(qemu.qmpPath).not.toBe(qemu.otherQmpPath);
});

it('tells what QEMU said when it refuses its arguments', async () => {
  await expect(startQemu({ args: ['-device', 'no-such-device'] })).rejects.toThrow(
    /QEMU ended .*no-such-device/s,
  );
});
