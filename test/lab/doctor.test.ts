import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/doctor/index.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

/** What the doctor of `dist` finds in the host, with its exit status. */
async function examine(host: VfioHost, ...args: readonly string[]) {
  return run(host, ['node', 'dist/cli/main.js', 'doctor', ...args, '--json']);
}

async function run(host: VfioHost, argv: readonly string[]) {
  const { status, stdout, stderr } = await host.run(argv, { deadlineMs: 300_000 });
  if (stdout === '') throw new Error(`the doctor ended with ${status}: ${stderr}`);
  const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
  return { status, findings, of: (id: string) => findings.find((each) => each.id === id) };
}

const text = (words: string) => expect.stringContaining(words) as unknown;

describe('a host that cannot remap interrupts', () => {
  let host: VfioHost;
  let vm: InnerQemu;

  beforeAll(async () => {
    host = await bootVfioHost({
      devices: ['testdev', 'nvme', 'pair'],
      args: ['-device', 'pci-testdev,id=big,membar=1G,bus=pcie.0,addr=d.0'],
      interruptRemapping: false,
    });
    // A QEMU that is nobody's, with the limit that login shells have.
    await host.sh(`
      chmod 1777 /run; chmod 666 /dev/ttyS2 /dev/ttyS3
      printf '#!/bin/sh\\nexec setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --memlock=65536 qemu-system-x86_64 "$@"\\n' >/run/as-nobody
      chmod 755 /run/as-nobody
    `);
    const [kind = '', port = '', ...rest] = rootPort('rp0', 2);
    vm = await host.startQemu({
      binary: '/run/as-nobody',
      paused: true,
      hotplug: 'native',
      args: [kind, `${port},pref64-reserve=64M`, ...rest],
    });
  });
  afterAll(async () => {
    await host.kill();
  });

  it('is told so, and what the QEMU may not do', async () => {
    const testdev = await host.bdf('testdev');
    await host.sh(`
      echo vfio-pci >/sys/bus/pci/devices/${testdev}/driver_override
      echo ${testdev} >/sys/bus/pci/drivers_probe
    `);
    const { status, of } = await examine(host, '--vm', vm.qmpPath, '--device', testdev);
    expect(status).toBe(3);
    expect(of('iommu.active')).toMatchObject({ verdict: 'ok' });
    expect(of('iommu.intremap')).toMatchObject({
      verdict: 'fail',
      remedy: text('interrupt remapping'),
    });
    expect(of('vfio.modules')).toMatchObject({ verdict: 'ok' });
    expect(of('dev.driver')).toMatchObject({ verdict: 'ok' });
    expect(of('dev.group_viable')).toMatchObject({ verdict: 'ok' });
    expect(of('vfio.group_perm')).toMatchObject({
      verdict: 'fail',
      why: text('uid 65534'),
      remedy: text('setfacl'),
    });
    expect(of('mem.memlock')).toMatchObject({
      verdict: 'fail',
      remedy: text(`prlimit --pid ${vm.pid} --memlock=`),
      read: [{ path: `/proc/${vm.pid}/limits`, value: text('65536') }],
    });
    expect(of('vm.hotplug')).toMatchObject({ verdict: 'ok', why: text('native') });
    expect(of('dev.bar')).toMatchObject({ verdict: 'ok' });
  });

  it('is told of a device that no port takes', async () => {
    const big = await host.bdf('big');
    const { status, of } = await examine(
      host,
      '--vm',
      vm.qmpPath,
      '--device',
      big,
      '--only',
      'dev',
    );
    expect(status).toBe(3);
    expect(of('dev.bar')).toMatchObject({
      verdict: 'fail',
      why: text('1G'),
      remedy: text('boot-args'),
    });
  });

  it('is told of a mounted disk, and where', async () => {
    const nvme = await host.bdf('nvme');
    await host.sh('mkfs.ext4 -q /dev/nvme0n1; mkdir -p /run/disk; mount /dev/nvme0n1 /run/disk');
    const { status, of } = await examine(host, '--device', nvme, '--only', 'dev.in_use');
    expect(status).toBe(3);
    expect(of('dev.in_use.block')).toMatchObject({ verdict: 'fail', why: text('/run/disk') });
    await host.sh('umount /run/disk');
  });

  it('is told who keeps VFIO from a group', async () => {
    const [mine, theirs] = [await host.bdf('pair0'), await host.bdf('pair1')];
    const { status, of } = await examine(host, '--device', mine, '--only', 'dev.group_viable');
    expect(status).toBe(3);
    expect(of('dev.group_viable')).toMatchObject({
      verdict: 'fail',
      why: text(`${theirs} (e1000e)`),
      remedy: text(theirs),
    });
  });

  it('is told of modules that the kernel has not', async () => {
    await host.sh(`
      release=$(uname -r)
      grep -v vfio_iommu_type1 /lib/modules/$release/modules.dep >/run/modules.dep
      mount --bind /run/modules.dep /lib/modules/$release/modules.dep
    `);
    await vm.kill();
    await host.sh(`
      echo ${await host.bdf('testdev')} >/sys/bus/pci/drivers/vfio-pci/unbind
      rmmod vfio_iommu_type1
    `);
    const { status, of } = await examine(host, '--only', 'vfio.modules');
    expect(status).toBe(3);
    expect(of('vfio.modules')).toMatchObject({
      verdict: 'fail',
      why: text('vfio_iommu_type1'),
      remedy: text('install'),
    });
  });
});

describe('a host without an IOMMU', () => {
  it('is told so, and what to do, also who may not read everything', async () => {
    await using host = await bootVfioHost({ devices: ['nvme'], iommu: 'none' });
    const what = ['--device', await host.bdf('nvme'), '--only', 'iommu', '--only', 'dev'];
    const asRoot = await examine(host, ...what);
    expect(asRoot.status).toBe(3);
    expect(asRoot.of('iommu.active')).toMatchObject({
      verdict: 'fail',
      why: text('no IOMMU groups'),
      remedy: text('firmware'),
    });
    expect(asRoot.of('iommu.intremap')).toMatchObject({ verdict: 'skip' });
    expect(asRoot.of('dev.group')).toMatchObject({ verdict: 'fail', remedy: text('iommu.active') });

    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const argv = ['node', 'dist/cli/main.js', 'doctor', ...what, '--json'];
    const asNobody = await run(host, [...nobody, ...argv]);
    expect(asNobody.status).toBe(3);
    const verdicts = ({ findings }: typeof asRoot) =>
      findings.map(({ id, verdict }) => `${verdict} ${id}`);
    const others = verdicts(asNobody).filter((line) => !verdicts(asRoot).includes(line));
    expect(others).toContain('unknown dev.in_use.files');
    expect(others.filter((line) => !line.startsWith('unknown '))).toEqual([]);
  });
});
