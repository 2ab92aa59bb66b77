import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMtty } from '../../scripts/lab/samples.mjs';
import { SRIOV_NVME_ARGS } from '../../scripts/lab/vfio-devices.mjs';
import {
  devicesIn,
  errorOf,
  groupOf,
  hostState,
  qmplug,
  refuses,
  runProgram,
  succeeds,
} from '../support/host-cli.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = ['rp0', 'rp1'].flatMap((id, index) => rootPort(id, index + 2));
const DEVICES = ['testdev', 'nic', 'nvme', 'bridge0', 'bridge1', 'sriov'] as const;
const MEBIBYTE = 2 ** 20;

describe('what a host with an Intel IOMMU lends, makes and keeps', () => {
  let host: VfioHost;
  let vm: InnerQemu;
  const places: Record<string, string> = {};
  const bdf = (id: (typeof DEVICES)[number]) => places[id] ?? '';

  beforeAll(async () => {
    const mtty = findMtty();
    if (mtty === undefined) throw new Error('mtty.ko is not built; run scripts/setup.sh');
    host = await bootVfioHost({
      devices: ['testdev', 'nic', 'nvme', 'bridge'],
      args: SRIOV_NVME_ARGS,
      modules: ['vfio-pci', 'mdev', 'bridge'],
    });
    for (const id of DEVICES) places[id] = await host.bdf(id);
    await host.sh(`insmod ${mtty}`);
    vm = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
  });
  afterAll(async () => {
    await host.kill();
  });

  const succeed = (...args: readonly string[]) => succeeds(host, args);
  const isRefused = (args: readonly string[], code: string, ...names: readonly string[]) =>
    refuses(host, args, code, ...names);

  it('lends a function from behind a PCIe-to-PCI bridge, with the group it is in', async () => {
    const before = await hostState(host);
    const one = ['attach', vm.qmpPath, bdf('bridge1')];
    await isRefused(one, 'GROUP_NOT_VIABLE', bdf('bridge0'), 'e1000');
    await succeed(...one, '--members', 'group');
    expect(await devicesIn(vm)).toHaveLength(2);
    await succeed('detach', vm.qmpPath, bdf('bridge1'));
    expect(await hostState(host)).toBe(before);
  });

  it('keeps the interface that the default route leaves by, itself and behind a bridge', async () => {
    const nic = bdf('nic');
    const link = (await host.sh(`ls /sys/bus/pci/devices/${nic}/net`)).trim();
    await host.sh(`
      busybox ip addr add 10.9.9.2/24 dev ${link}
      busybox ip link set ${link} up
      busybox ip route add default via 10.9.9.1 dev ${link}
    `);
    await isRefused(['attach', vm.qmpPath, nic], 'IN_USE', nic, 'default route');
    await host.sh(`
      busybox ip addr flush dev ${link}
      busybox brctl addbr br0
      busybox brctl addif br0 ${link}
      busybox ip addr add 10.9.9.2/24 dev br0
      busybox ip link set br0 up
      busybox ip route add default via 10.9.9.1 dev br0
    `);
    await isRefused(['host', 'bind', nic], 'IN_USE', nic, 'br0');
    await host.sh(`
      busybox ip link set br0 down
      busybox brctl delif br0 ${link}
      busybox brctl delbr br0
      busybox ip link set ${link} down
    `);
    await succeed('attach', vm.qmpPath, nic);
    await succeed('detach', vm.qmpPath, nic);
  });

  it('makes virtual functions, lends one, and removes them when nobody has them', async () => {
    const before = await hostState(host);
    const pf = bdf('sriov');
    const made = await succeed('host', 'vfs', pf, '2');
    expect(made).toMatchObject({ pf, already: false });
    const vfs = made['vfs'] as readonly { bdf: string; driver: string | null }[];
    expect(vfs.map(({ driver }) => driver)).toEqual([null, null]);
    const vf = vfs[1]?.bdf ?? '';
    await isRefused(['attach', vm.qmpPath, pf], 'IN_USE', pf, 'virtual functions');
    expect(await succeed('attach', vm.qmpPath, vf)).toMatchObject({
      attachment: { functions: [{ host: vf, port: 'rp0' }] },
    });
    expect(await devicesIn(vm)).toEqual([`vfio_device_${await groupOf(host, vf)}_0`]);
    await isRefused(['host', 'vfs', pf, '0'], 'CONFLICT', 'group-');
    await isRefused(['host', 'vfs', pf, '5'], 'NO_VFS', '4');
    await succeed('detach', vm.qmpPath, vf);
    expect(await succeed('host', 'vfs', pf, '0')).toMatchObject({ vfs: [] });
    expect(await hostState(host)).toBe(before);
  });

  it('makes a mediated device, lends it by its UUID, and removes what it made and nothing else', async () => {
    const before = await hostState(host);
    const create = ['host', 'mdev', 'create', 'mtty', 'mtty-2', '--vm', 'lab', '--name', 'tty'];
    const made = await succeed(...create);
    expect(made).toMatchObject({ mdev: { framework: 'mdev', already: false } });
    const { device: uuid } = made['mdev'] as { device: string };
    expect(await succeed(...create)).toMatchObject({ mdev: { device: uuid, already: true } });
    await isRefused(['attach', vm.qmpPath, uuid], 'WINDOW_UNKNOWN', uuid);
    expect(await succeed('attach', vm.qmpPath, uuid, '--allow', 'unknown-window')).toMatchObject({
      attachment: { functions: [{ host: uuid }] },
    });
    const path = `/sys/bus/mdev/devices/${uuid}`;
    expect(await succeed('attach', vm.qmpPath, path, '--allow', 'unknown-window')).toMatchObject({
      attachment: { already: true },
    });
    await isRefused(['host', 'mdev', 'remove', uuid], 'CONFLICT');
    await succeed('detach', vm.qmpPath, uuid);
    await succeed('host', 'mdev', 'remove', uuid);
    expect(await hostState(host)).toBe(before);

    const foreign = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    await host.sh(`echo ${foreign} >/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create`);
    await isRefused(['host', 'mdev', 'remove', foreign], 'NOT_OURS', foreign);
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
    const before = await hostState(host);
    expect(await limit()).toBe('65536 65536');
    await succeed('attach', nobody.qmpPath, bdf('testdev'));
    const [soft = ''] = (await limit()).split(' ');
    expect(Number(soft)).toBeGreaterThanOrEqual((1024 + 128) * MEBIBYTE);
    const node = `/dev/vfio/${await groupOf(host, bdf('testdev'))}`;
    expect(await host.sh(`stat -c %u ${node}`)).toBe('65534\n');
    await succeed('detach', nobody.qmpPath, bdf('testdev'));
    expect(await limit()).toBe('65536 65536');
    expect(await hostState(host)).toBe(before);
  });

  it('writes off an unbind that waits for a VM, bars the device, and goes on when it is over', async () => {
    await using slow = await host.startQemu({ paused: true, hotplug: 'acpi', args: PORTS });
    const before = await hostState(host);
    const device = bdf('testdev');
    await succeed('attach', slow.qmpPath, device);
    const [unbinds] = (await runProgram(host, 'stuck-unbind', [device, '3000'])) as [
      { tries: readonly { code: string; childPid?: number; kernelLog?: readonly string[] }[] },
    ];
    expect(unbinds.tries).toMatchObject([{ code: 'STUCK' }, { code: 'QUARANTINED', atOnce: true }]);
    expect(unbinds.tries[0]?.kernelLog?.join('\n')).toContain('Relaying device request to user');
    const worker = unbinds.tries[0]?.childPid;
    expect(await succeed('host', 'quarantine', 'list')).toMatchObject({
      quarantine: [{ device, why: 'stuck', worker }],
    });
    // The kernel has the device's lock until then: not even the state of the host can be read past it.
    const early = await qmplug(host, ['host', 'quarantine', 'release', device]);
    expect(early).toMatchObject({ status: 3, json: { error: { code: 'QUARANTINED' } } });
    expect(errorOf(early).message).toContain(String(worker));
    // QEMU lets go once its guest has, and with that the kernel ends the unbind.
    expect(await qmplug(host, ['detach', slow.qmpPath, device, '--timeout', '1'])).toMatchObject({
      status: 5,
    });
    await slow.qmp.execute('system_reset');
    await slow.qmp.waitForDeleted(`vfio_device_${await groupOf(host, device)}_0`);
    await host.sh(`while [ -e /proc/${worker} ]; do :; done`, { deadlineMs: 30_000 });
    await succeed('recover');
    await succeed('host', 'quarantine', 'release', device);
    await succeed('recover', slow.qmpPath);
    await succeed('detach', slow.qmpPath, device);
    expect(await hostState(host)).toBe(before);
  });

  it('keeps a mounted disk, which the kernel would have let go', async () => {
    const nvme = bdf('nvme');
    const disk = (await host.sh(`ls -d /sys/bus/pci/devices/${nvme}/nvme/nvme*/nvme*n*`)).trim();
    const name = disk.slice(disk.lastIndexOf('/') + 1);
    await host.sh(`mkfs.ext4 -q /dev/${name}; mkdir -p /run/disk; mount /dev/${name} /run/disk`);
    await isRefused(['attach', vm.qmpPath, nvme], 'IN_USE', nvme, '/run/disk');
    await isRefused(['host', 'bind', nvme, '--allow', 'in-use.net'], 'IN_USE', '/run/disk');
    // The last thing this host does with it: nothing stops the write, and the file system dies.
    await host.sh(`echo ${nvme} >/sys/bus/pci/devices/${nvme}/driver/unbind`);
    expect(await host.sh(`ls /sys/bus/pci/devices/${nvme}/driver 2>/dev/null || echo gone`)).toBe(
      'gone\n',
    );
    const written = await host.run(['sh', '-c', 'echo lost >/run/disk/file && sync -f /run/disk']);
    expect(written.status).not.toBe(0);
  });
});
