import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMtty } from '../../scripts/lab/samples.mjs';
import { SRIOV_NVME_ARGS } from '../../scripts/lab/vfio-devices.mjs';
import { KERNEL_SCRIPTS } from '../support/kernel-scripts.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = ['rp0', 'rp1'].flatMap((id, index) => rootPort(id, index + 2));
const QMPLUG = ['node', 'dist/cli/main.js'];

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

async function runQmplug(host: VfioHost, args: readonly string[]): Promise<Answer> {
  const { status, stdout, stderr } = await host.run([...QMPLUG, ...args, '--json']);
  if (stdout === '') throw new Error(`qmplug ${args.join(' ')} ended with ${status}: ${stderr}`);
  return { status, json: JSON.parse(stdout) as Answer['json'] };
}

/** All that qmplug may touch on the host: drivers, overrides, VFs, nodes with owner and mode, its own state. */
const HOST_STATE = `
  ls -ld /sys/bus/pci/devices/*/driver | awk '{print $9, $11}'
  grep -H '' /sys/bus/pci/devices/*/driver_override
  grep -H '' /sys/bus/pci/devices/*/sriov_numvfs /sys/bus/pci/devices/*/sriov_drivers_autoprobe
  ls -lnA /dev/vfio | awk 'NR > 1 {print $1, $3, $4, $NF}'
  ls /sys/bus/mdev/devices 2>/dev/null || true
  find /run/qmplug/plans /run/qmplug/reservations /run/qmplug/quarantine -type f 2>/dev/null || true
`;

const errorOf = ({ json }: Answer) =>
  json['error'] as { code: string; message: string; remedy: string; details: object };

describe('a host with an Intel IOMMU', () => {
  let host: VfioHost;
  let vm: InnerQemu;
  const bdfs: Record<string, string> = {};
  const bdf = (id: string) => bdfs[id] ?? '';

  beforeAll(async () => {
    const mtty = findMtty();
    if (mtty === undefined) throw new Error('mtty.ko is not built; run scripts/setup.sh');
    host = await bootVfioHost({
      args: SRIOV_NVME_ARGS,
      modules: ['vfio-pci', 'mdev', 'bridge'],
    });
    for (const id of [
      'rng',
      'testdev',
      'nic',
      'nvme',
      'pair0',
      'pair1',
      'bridge0',
      'bridge1',
      'sriov',
    ]) {
      bdfs[id] = await host.bdf(id);
    }
    await host.sh(`insmod ${mtty}`);
    vm = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
  });
  afterAll(async () => {
    await host.kill();
  });

  const qmplug = (...args: readonly string[]) => runQmplug(host, args);
  const hostState = () => host.sh(HOST_STATE);
  const groupOf = async (id: string) =>
    (await host.sh(`basename "$(readlink /sys/bus/pci/devices/${bdf(id)}/iommu_group)"`)).trim();

  const refuses = async (args: readonly string[], code: string, ...names: readonly string[]) => {
    const before = await hostState();
    const answer = await qmplug(...args);
    expect(answer).toMatchObject({ status: 3, json: { error: { code } } });
    for (const name of names) expect(errorOf(answer).message).toContain(name);
    expect(await hostState()).toBe(before);
  };

  it('has a kernel that does what the simulated one does', async () => {
    const pf = bdf('sriov');
    const places = {
      ...bdfs,
      'nic.group': await groupOf('nic'),
      'pair-port': await host.bdf('pair-port'),
      vf0: pf.replace(/.$/, '1'),
      missing: '0000:00:1e.7',
    };
    const scripts = KERNEL_SCRIPTS.map(({ lines }) => lines.map(([line]) => line));
    const before = await hostState();
    const { stdout, stderr } = await host.run([
      'node',
      'test/programs/kernel-scripts.mjs',
      JSON.stringify({ scripts, places }),
    ]);
    expect(stderr).toBe('');
    const yielded = JSON.parse(stdout) as readonly (readonly string[])[];
    expect(
      scripts.map((script, at) => script.map((line, index) => [line, yielded[at]?.[index]])),
    ).toEqual(KERNEL_SCRIPTS.map(({ lines }) => lines));
    expect(await hostState()).toBe(before);
  });

  it('binds for a VM that is started with the device, and takes it back', async () => {
    const before = await hostState();
    const nic = bdf('nic');
    expect(await qmplug('host', 'bind', nic)).toMatchObject({
      status: 0,
      json: { bound: [{ bdf: nic, driver: 'vfio-pci', already: false }] },
    });
    expect(await qmplug('host', 'bind', nic)).toMatchObject({
      json: { bound: [{ already: true }], steps: [] },
    });
    {
      await using started = await host.startQemu({
        paused: true,
        args: ['-device', `vfio-pci,host=${nic}`],
      });
      expect(started.pid).toBeGreaterThan(0);
      await refuses(['host', 'release', nic], 'GROUP_HELD', nic, String(started.pid));
    }
    expect(await qmplug('host', 'release', nic)).toMatchObject({
      status: 0,
      json: { released: [{ bdf: nic, state: 'released', driver: 'e1000e' }] },
    });
    expect(await hostState()).toBe(before);
  });

  it('gives back what it found, from any state', async () => {
    const before = await hostState();
    const devices = ['nic', 'testdev', 'pair0', 'pair1'].map(bdf);
    const { stdout, stderr } = await host.run(
      ['node', 'test/programs/bind-identity.mjs', JSON.stringify({ devices, rounds: 10, seed: 7 })],
      { deadlineMs: 300_000 },
    );
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { problem?: string });
    expect(stderr).toBe('');
    expect(lines.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expect(lines).toHaveLength(10);
    expect(await hostState()).toBe(before);
  });

  describe('a group of two', () => {
    const put = (id: string, driver: string) =>
      host.sh(`
        d=/sys/bus/pci/devices/${bdf(id)}
        if [ -e $d/driver ]; then echo ${bdf(id)} >$d/driver/unbind; fi
        echo '${driver}' >$d/driver_override
        if [ '${driver}' != nothing ]; then echo ${bdf(id)} >/sys/bus/pci/drivers_probe; fi
        echo >$d/driver_override
      `);

    it.each([
      ['its own driver', 'e1000e', false],
      ['no driver', 'nothing', true],
      ['pci-stub', 'pci-stub', true],
      ['vfio-pci', 'vfio-pci', true],
    ])('goes by one function, the other on %s: %s', async (_, driver, viable) => {
      await put('pair1', driver);
      const before = await hostState();
      if (viable) {
        expect(await qmplug('attach', vm.qmpPath, bdf('pair0'))).toMatchObject({ status: 0 });
        expect(await qmplug('detach', vm.qmpPath, bdf('pair0'))).toMatchObject({ status: 0 });
      } else {
        await refuses(
          ['attach', vm.qmpPath, bdf('pair0')],
          'GROUP_NOT_VIABLE',
          bdf('pair1'),
          driver,
        );
      }
      expect(await hostState()).toBe(before);
      await put('pair1', 'e1000e');
    });
  });

  it('lends a function from behind a PCIe-to-PCI bridge, with the group it is in', async () => {
    const before = await hostState();
    await refuses(
      ['attach', vm.qmpPath, bdf('bridge1')],
      'GROUP_NOT_VIABLE',
      bdf('bridge0'),
      'e1000',
    );
    const attached = await qmplug('attach', vm.qmpPath, bdf('bridge1'), '--members', 'group');
    expect(attached).toMatchObject({ status: 0 });
    expect(await qmplug('detach', vm.qmpPath, bdf('bridge1'))).toMatchObject({ status: 0 });
    expect(await hostState()).toBe(before);
  });

  it('refuses the interface that the default route leaves by, itself and behind a bridge', async () => {
    const nic = bdf('nic');
    const link = (await host.sh(`ls /sys/bus/pci/devices/${nic}/net`)).trim();
    await host.sh(`
      busybox ip addr add 10.9.9.2/24 dev ${link}
      busybox ip link set ${link} up
      busybox ip route add default via 10.9.9.1 dev ${link}
    `);
    await refuses(['attach', vm.qmpPath, nic], 'IN_USE', nic, 'default route');
    await host.sh(`
      busybox ip addr flush dev ${link}
      busybox brctl addbr br0
      busybox brctl addif br0 ${link}
      busybox ip addr add 10.9.9.2/24 dev br0
      busybox ip link set br0 up
      busybox ip route add default via 10.9.9.1 dev br0
    `);
    await refuses(['host', 'bind', nic], 'IN_USE', nic, 'br0');
    await host.sh(`
      busybox ip link set br0 down
      busybox brctl delif br0 ${link}
      busybox brctl delbr br0
      busybox ip link set ${link} down
    `);
    expect(await qmplug('attach', vm.qmpPath, nic)).toMatchObject({ status: 0 });
    expect(await qmplug('detach', vm.qmpPath, nic)).toMatchObject({ status: 0 });
  });

  it('makes virtual functions, lends one, and removes them when nobody has them', async () => {
    const before = await hostState();
    const pf = bdf('sriov');
    const made = await qmplug('host', 'vfs', pf, '2');
    expect(made).toMatchObject({ status: 0, json: { pf, already: false } });
    const vfs = made.json['vfs'] as readonly { bdf: string; driver: string | null }[];
    expect(vfs.map(({ driver }) => driver)).toEqual([null, null]);
    const vf = vfs[1]?.bdf ?? '';
    await refuses(['attach', vm.qmpPath, pf], 'IN_USE', pf, 'virtual functions');
    expect(await qmplug('attach', vm.qmpPath, vf)).toMatchObject({ status: 0 });
    await refuses(['host', 'vfs', pf, '0'], 'CONFLICT', 'group-');
    await refuses(['host', 'vfs', pf, '5'], 'NO_VFS', '4');
    expect(await qmplug('detach', vm.qmpPath, vf)).toMatchObject({ status: 0 });
    expect(await qmplug('host', 'vfs', pf, '0')).toMatchObject({ status: 0, json: { vfs: [] } });
    expect(await hostState()).toBe(before);
  });

  it('makes a mediated device, lends it by its UUID, and removes what it made and nothing else', async () => {
    const before = await hostState();
    const create = ['host', 'mdev', 'create', 'mtty', 'mtty-2', '--vm', 'lab', '--name', 'tty'];
    const made = await qmplug(...create);
    expect(made).toMatchObject({
      status: 0,
      json: { mdev: { framework: 'mdev', already: false } },
    });
    const { device: uuid } = made.json['mdev'] as { device: string };
    expect(await qmplug(...create)).toMatchObject({
      json: { mdev: { device: uuid, already: true } },
    });
    await refuses(['attach', vm.qmpPath, uuid], 'WINDOW_UNKNOWN', uuid);
    const attached = await qmplug('attach', vm.qmpPath, uuid, '--allow', 'unknown-window');
    expect(attached).toMatchObject({
      status: 0,
      json: { attachment: { functions: [{ host: uuid }] } },
    });
    const path = `/sys/bus/mdev/devices/${uuid}`;
    expect(await qmplug('attach', vm.qmpPath, path, '--allow', 'unknown-window')).toMatchObject({
      json: { attachment: { already: true } },
    });
    await refuses(['host', 'mdev', 'remove', uuid], 'CONFLICT');
    expect(await qmplug('detach', vm.qmpPath, uuid)).toMatchObject({ status: 0 });
    expect(await qmplug('host', 'mdev', 'remove', uuid)).toMatchObject({ status: 0 });
    expect(await hostState()).toBe(before);

    const foreign = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    await host.sh(`echo ${foreign} >/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create`);
    await refuses(['host', 'mdev', 'remove', foreign], 'NOT_OURS', foreign);
    await host.sh(`echo 1 >/sys/bus/mdev/devices/${foreign}/remove`);
  });

  it('raises the memory limit of a QEMU without privileges, gives it the node, and takes both back', async () => {
    await host.sh(`
      chmod 1777 /run; chmod 666 /dev/ttyS2 /dev/ttyS3
      printf '#!/bin/sh\\nexec setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --memlock=65536 qemu-system-x86_64 "$@"\\n' >/run/as-nobody
      chmod 755 /run/as-nobody
    `);
    await using nobody = await host.startQemu({
      binary: '/run/as-nobody',
      paused: true,
      hotplug: 'native',
      args: PORTS,
    });
    const limit = async () =>
      (await host.sh(`awk '/Max locked/ {print $4, $5}' /proc/${nobody.pid}/limits`)).trim();
    const before = await hostState();
    expect(await limit()).toBe('65536 65536');
    expect(await qmplug('attach', nobody.qmpPath, bdf('testdev'))).toMatchObject({ status: 0 });
    const [soft = ''] = (await limit()).split(' ');
    expect(Number(soft)).toBeGreaterThanOrEqual(2 ** 30 + 128 * 2 ** 20);
    expect(await host.sh(`stat -c %u /dev/vfio/${await groupOf('testdev')}`)).toBe('65534\n');
    expect(await qmplug('detach', nobody.qmpPath, bdf('testdev'))).toMatchObject({ status: 0 });
    expect(await limit()).toBe('65536 65536');
    expect(await hostState()).toBe(before);
  });

  it('writes off an unbind that waits for a VM, bars the device, and goes on when it is over', async () => {
    const before = await hostState();
    const device = bdf('testdev');
    await using slow = await host.startQemu({ paused: true, hotplug: 'acpi', args: PORTS });
    expect(await qmplug('attach', slow.qmpPath, device)).toMatchObject({ status: 0 });
    const { stdout, stderr } = await host.run([
      'node',
      'test/programs/stuck-unbind.mjs',
      device,
      '3000',
    ]);
    expect(stderr).toBe('');
    const { tries } = JSON.parse(stdout) as {
      tries: readonly { code: string; childPid?: number }[];
    };
    expect(tries).toMatchObject([{ code: 'STUCK' }, { code: 'QUARANTINED', atOnce: true }]);
    expect(await host.kernelLog()).toContain('Relaying device request to user');
    const [first] = tries;
    expect(await qmplug('host', 'quarantine', 'list')).toMatchObject({
      json: { quarantine: [{ device, why: 'stuck', worker: first?.childPid }] },
    });
    await refuses(
      ['host', 'quarantine', 'release', device],
      'QUARANTINED',
      String(first?.childPid),
    );
    // QEMU lets go once its guest has, and with that the kernel ends the unbind.
    expect(await qmplug('detach', slow.qmpPath, device, '--timeout', '1')).toMatchObject({
      status: 5,
    });
    await slow.qmp.execute('system_reset');
    await slow.qmp.waitForDeleted(await idOf(device));
    await host.sh(`while [ -e /proc/${first?.childPid} ]; do :; done`, { deadlineMs: 30_000 });
    expect(await qmplug('recover')).toMatchObject({ status: 0 });
    expect(await qmplug('host', 'quarantine', 'release', device)).toMatchObject({ status: 0 });
    await qmplug('recover', slow.qmpPath);
    expect(await qmplug('detach', slow.qmpPath, device)).toMatchObject({ status: 0 });
    expect(await hostState()).toBe(before);
  });

  const idOf = async (device: string) => {
    const group = await host.sh(
      `basename "$(readlink /sys/bus/pci/devices/${device}/iommu_group)"`,
    );
    return `vfio_device_${group.trim()}_0`;
  };

  it('keeps a mounted disk, which the kernel would have let go', async () => {
    const nvme = bdf('nvme');
    const disk = (await host.sh(`ls -d /sys/bus/pci/devices/${nvme}/nvme/nvme*/nvme*n*`)).trim();
    const name = disk.slice(disk.lastIndexOf('/') + 1);
    await host.sh(`mkfs.ext4 -q /dev/${name}; mkdir -p /run/disk; mount /dev/${name} /run/disk`);
    await refuses(['host', 'bind', nvme], 'IN_USE', nvme, '/run/disk');
    await refuses(['host', 'bind', nvme, '--allow', 'in-use.net'], 'IN_USE', '/run/disk');
    // The last thing this host does with it: nothing stops the write, and the file system dies.
    await host.sh(`echo ${nvme} >/sys/bus/pci/devices/${nvme}/driver/unbind`);
    expect(await host.sh(`ls /sys/bus/pci/devices/${nvme}/driver 2>/dev/null || echo gone`)).toBe(
      'gone\n',
    );
  });
});

describe('a host with an AMD IOMMU that cannot remap interrupts', () => {
  it('refuses to lend, undone, until unsafe interrupts are allowed', async () => {
    await using host = await bootVfioHost({
      devices: ['testdev'],
      iommu: 'amd',
      interruptRemapping: false,
    });
    expect(await host.sh('ls /sys/class/iommu')).toBe('ivhd0\n');
    await using vm = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
    const before = await host.sh(HOST_STATE);
    const testdev = await host.bdf('testdev');
    const refused = await runQmplug(host, ['attach', vm.qmpPath, testdev]);
    expect(refused).toMatchObject({ status: 4, json: { error: { code: 'STEP_FAILED' } } });
    expect(errorOf(refused).remedy).toContain('allow_unsafe_interrupts');
    expect(await host.sh(HOST_STATE)).toBe(before);
    await host.sh('echo Y >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts');
    expect(await runQmplug(host, ['attach', vm.qmpPath, testdev])).toMatchObject({ status: 0 });
    expect(await runQmplug(host, ['detach', vm.qmpPath, testdev])).toMatchObject({ status: 0 });
    expect(await host.sh(HOST_STATE)).toBe(before);
  });
});
