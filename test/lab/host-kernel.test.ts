import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMtty } from '../../scripts/lab/samples.mjs';
import { SRIOV_NVME_ARGS } from '../../scripts/lab/vfio-devices.mjs';
import {
  devicesIn,
  groupOf,
  hostState,
  refuses,
  runProgram,
  succeeds,
} from '../support/host-cli.js';
import { KERNEL_SCRIPTS, WHILE_HELD, type KernelScript } from '../support/kernel-scripts.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = rootPort('rp0', 2);
const DEVICES = ['testdev', 'nic', 'pair-port', 'pair0', 'pair1', 'sriov'] as const;

describe('the drivers and groups of a host with an Intel IOMMU', () => {
  let host: VfioHost;
  let vm: InnerQemu;
  const places: Record<string, string> = { missing: '0000:00:1e.7' };
  const bdf = (id: (typeof DEVICES)[number]) => places[id] ?? '';

  beforeAll(async () => {
    const mtty = findMtty();
    if (mtty === undefined) throw new Error('mtty.ko is not built; run scripts/setup.sh');
    host = await bootVfioHost({
      devices: ['testdev', 'nic', 'pair'],
      args: SRIOV_NVME_ARGS,
      modules: ['vfio-pci', 'pci-stub', 'nvme', 'mdev'],
    });
    for (const id of DEVICES) places[id] = await host.bdf(id);
    places['nic.group'] = await groupOf(host, bdf('nic'));
    places['vf0'] = bdf('sriov').replace(/.$/, '1');
    await host.sh(`insmod ${mtty}`);
    vm = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
  });
  afterAll(async () => {
    await host.kill();
  });

  /** Scripts of writes that the simulated kernel answers the same way, in test/simulator/kernel-scripts.test.ts. */
  const expectOf = async (all: readonly KernelScript[]) => {
    const before = await hostState(host);
    const scripts = all.map(({ lines }) => lines.map(([line]) => line));
    const [yielded] = (await runProgram(host, 'kernel-scripts', [
      JSON.stringify({ scripts, places }),
    ])) as [readonly (readonly string[])[]];
    expect(
      scripts.map((script, at) => script.map((line, index) => [line, yielded[at]?.[index]])),
    ).toEqual(all.map(({ lines }) => lines));
    expect(await hostState(host)).toBe(before);
  };

  it('answer scripts of writes as the simulated kernel does', async () => {
    await expectOf(KERNEL_SCRIPTS);
  });

  it('go to a VM that is started with a device, and come back', async () => {
    const before = await hostState(host);
    const nic = bdf('nic');
    expect(await succeeds(host, ['host', 'bind', nic])).toMatchObject({
      bound: [{ bdf: nic, driver: 'vfio-pci', already: false }],
    });
    expect(await succeeds(host, ['host', 'bind', nic])).toMatchObject({
      bound: [{ already: true }],
      steps: [],
    });
    {
      await using started = await host.startQemu({
        paused: true,
        args: ['-device', `vfio-pci,host=${nic}`],
      });
      await refuses(host, ['host', 'release', nic], 'GROUP_HELD', nic, String(started.pid));
    }
    expect(await succeeds(host, ['host', 'release', nic])).toMatchObject({
      released: [{ bdf: nic, state: 'released', driver: 'e1000e' }],
    });
    expect(await hostState(host)).toBe(before);
  });

  it('are given back as they were found, whatever they were', async () => {
    const before = await hostState(host);
    const devices = (['nic', 'testdev', 'pair0', 'pair1'] as const).map(bdf);
    const rounds = await runProgram(
      host,
      'bind-identity',
      [JSON.stringify({ devices, rounds: 10, seed: 7 })],
      { deadlineMs: 300_000 },
    );
    const problems = (rounds as readonly { problem?: string }[]).flatMap(
      ({ problem }) => problem ?? [],
    );
    expect(problems).toEqual([]);
    expect(rounds).toHaveLength(10);
    expect(await hostState(host)).toBe(before);
  });

  describe('of a group of two', () => {
    const put = (driver: string) => {
      const pair1 = bdf('pair1');
      return host.sh(`
        cd /sys/bus/pci/devices/${pair1}
        if [ -e driver ]; then echo ${pair1} >driver/unbind; fi
        echo '${driver}' >driver_override
        if [ '${driver}' != none ]; then echo ${pair1} >/sys/bus/pci/drivers_probe; fi
        echo >driver_override
        if [ -e driver ]; then basename "$(readlink driver)"; else echo none; fi
      `);
    };

    it('refuse the one while the other is on its own driver', async () => {
      expect(await put('e1000e')).toBe('e1000e\n');
      const culprits = [bdf('pair0'), bdf('pair1'), 'e1000e'];
      await refuses(host, ['attach', vm.qmpPath, bdf('pair0')], 'GROUP_NOT_VIABLE', ...culprits);
    });

    it.each(['none', 'pci-stub', 'vfio-pci'])('lend the one, the other on %s', async (driver) => {
      expect(await put(driver)).toBe(`${driver}\n`);
      const before = await hostState(host);
      await succeeds(host, ['attach', vm.qmpPath, bdf('pair0')]);
      expect(await devicesIn(vm)).toHaveLength(1);
      if (driver === 'none') await expectOf([WHILE_HELD]);
      await succeeds(host, ['detach', vm.qmpPath, bdf('pair0')]);
      expect(await hostState(host)).toBe(before);
      await put('e1000e');
    });
  });
});
