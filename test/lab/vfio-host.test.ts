import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type VfioHost } from '../support/vfio-host.js';

const INTO_VFIO = 'vfio-pci';
const BACK = '';

describe('the nested VFIO host', () => {
  let host: VfioHost;

  beforeAll(async () => {
    host = await bootVfioHost();
  });
  afterAll(async () => {
    await host.kill();
  });

  const readLink = async (bdf: string, name: string) => {
    const path = `/sys/bus/pci/devices/${bdf}/${name}`;
    const target = await host.sh(`if [ -e ${path} ]; then basename "$(readlink ${path})"; fi`);
    return target.trim();
  };

  /** Moves a device to the driver its override names; an empty one gives it to its own. */
  const rebind = async (bdf: string, override: string) => {
    const device = `/sys/bus/pci/devices/${bdf}`;
    await host.sh(`
      echo '${override}' >${device}/driver_override
      if [ -e ${device}/driver ]; then echo ${bdf} >${device}/driver/unbind; fi
      echo ${bdf} >/sys/bus/pci/drivers_probe
    `);
  };

  it.each([
    ['rng', 'virtio-pci'],
    ['testdev', ''],
    ['nic', 'e1000e'],
    ['nvme', 'nvme'],
    ['pair0', 'e1000e'],
    ['pair1', 'e1000e'],
    ['bridge0', 'e1000'],
    ['bridge1', ''],
  ])('has %s with the driver "%s"', async (id, driver) => {
    expect(await readLink(await host.bdf(id), 'driver')).toBe(driver);
  });

  it('has the IOMMU groups that the topology calls for', async () => {
    const group = async (id: string) => readLink(await host.bdf(id), 'iommu_group');
    expect(await group('pair0')).toBe(await group('pair1'));
    expect(await group('bridge0')).toBe(await group('bridge1'));
    expect(await group('bridge0')).toBe(await group('bridge'));
    const alone = await Promise.all(['rng', 'testdev', 'nic', 'nvme', 'pair0'].map(group));
    expect(new Set(alone).size).toBe(alone.length);
  });

  it('remaps interrupts', async () => {
    expect(await host.kernelLog()).toContain('DMAR-IR: Enabled IRQ remapping');
  });

  it('runs the Node of the tests on the checkout of the tests', async () => {
    const result = await host.run(['node', '-p', 'process.version + process.cwd()']);
    expect(result).toEqual({
      status: 0,
      stdout: `${process.version}${process.cwd()}\n`,
      stderr: '',
    });
  });

  it('ends what does not end by itself', async () => {
    const sleeper = await host.spawn(['sh', '-c', 'echo asleep; sleep 1000']);
    sleeper.kill();
    expect((await sleeper.wait(20_000)).status).toBe(137);
  });

  it.each(['acpi', 'native'] as const)(
    'lends a NIC to an inner QEMU with %s hot-plug and takes it back',
    async (hotplug) => {
      const bdf = await host.bdf('nic');
      await using inner = await host.startQemu({ paused: true, hotplug, args: rootPort('rp0', 2) });
      await rebind(bdf, INTO_VFIO);
      expect(await readLink(bdf, 'driver')).toBe('vfio-pci');

      const device = { driver: 'vfio-pci', host: bdf, id: 'vfio0', bus: 'rp0' };
      await inner.qmp.execute('device_add', device);
      expect(await peripherals(inner.qmp)).toContain('vfio0');

      await inner.qmp.execute('device_del', { id: 'vfio0' });
      // Without an operating system an ACPI removal is completed by a reset, a native one at once.
      if (hotplug === 'acpi') await inner.qmp.execute('system_reset');
      await inner.qmp.waitForDeleted('vfio0');
      expect(await peripherals(inner.qmp)).not.toContain('vfio0');

      await rebind(bdf, BACK);
      expect(await readLink(bdf, 'driver')).toBe('e1000e');
    },
  );

  it('tells what an inner QEMU said when it refuses its arguments', async () => {
    await expect(host.startQemu({ args: ['-device', 'no-such-device'] })).rejects.toThrow(
      /no-such-device/,
    );
  });
});

async function peripherals(qmp: {
  execute(command: string, args: Record<string, unknown>): Promise<unknown>;
}) {
  const listing = await qmp.execute('qom-list', { path: '/machine/peripheral' });
  return (listing as readonly { name: string }[]).map(({ name }) => name);
}
