import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { devicesIn, hostState, qmplug, refuses, succeeds } from '../support/host-cli.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = ['rp0', 'rp1', 'rp2'].flatMap((id, index) => rootPort(id, index + 2));

describe('real devices, real vfio-pci', () => {
  let host: VfioHost;
  let vm: InnerQemu;

  beforeAll(async () => {
    host = await bootVfioHost();
    vm = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
  });
  afterAll(async () => {
    await host.kill();
  });

  const cli = (...args: readonly string[]) => qmplug(host, args);
  const succeed = (...args: readonly string[]) => succeeds(host, args);

  /** One operation of the library in a process of its own. */
  const operate = async (operation: object) => {
    const { stdout, stderr } = await host.run([
      'node',
      'test/programs/operate.mjs',
      JSON.stringify(operation),
    ]);
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  };

  const overrideOf = (bdf: string, value: string) => `${bdf}/driver_override:${value}`;

  const override = (bdf: string, value: string) =>
    host.sh(`printf '%s\\n' '${value}' >/sys/bus/pci/devices/${bdf}/driver_override`);

  describe.each([
    ['its native driver', 'nic', undefined],
    ['no driver', 'testdev', undefined],
    ['a foreign override', 'testdev', 'not-a-driver'],
  ])('from %s', (_, id, foreign) => {
    it('goes into the VM and comes back, and the host is as it was', async () => {
      const bdf = await host.bdf(id);
      if (foreign !== undefined) await override(bdf, foreign);
      const before = await hostState(host);

      const attached = await cli('attach', vm.qmpPath, bdf);
      expect(attached).toMatchObject({
        status: 0,
        json: { attachment: { already: false, functions: [{ host: bdf, port: 'rp0' }] } },
      });
      const { group, functions } = attached.json['attachment'] as {
        group: number;
        functions: readonly { id: string }[];
      };
      expect(functions[0]?.id).toBe(`vfio_device_${group}_0`);
      expect(await devicesIn(vm)).toEqual([`vfio_device_${group}_0`]);
      expect(await hostState(host)).toContain(overrideOf(bdf, 'vfio-pci'));

      expect(await succeed('detach', vm.qmpPath, bdf)).toMatchObject({
        removals: [{ id: `vfio_device_${group}_0`, state: 'released' }],
      });
      expect(await devicesIn(vm)).toEqual([]);
      expect(await hostState(host)).toBe(before);
      if (foreign !== undefined) await override(bdf, '');
    });
  });

  it('is there already where it is asked for again, and refused elsewhere', async () => {
    const bdf = await host.bdf('testdev');
    await succeed('attach', vm.qmpPath, bdf);
    expect(await succeed('attach', vm.qmpPath, bdf)).toMatchObject({
      attachment: { already: true },
    });
    expect(await cli('attach', vm.qmpPath, bdf, '--port', 'rp1')).toMatchObject({
      status: 3,
      json: { error: { code: 'ATTACHED_ELSEWHERE' } },
    });
    await succeed('detach', vm.qmpPath, bdf);
  });

  describe('refuses, changes nothing, and names culprit and remedy', () => {
    const refused = (args: readonly string[], code: string, ...names: readonly string[]) =>
      refuses(host, ['attach', vm.qmpPath, ...args], code, ...names);

    it('a device that is not there', async () => {
      await refused(['0000:00:1e.7'], 'NO_MATCH', '0000:00:1e.7');
    });

    it('a bridge', async () => {
      const bdf = await host.bdf('pair-port');
      await refused([bdf], 'DENIED', bdf);
    });

    it('a group of which another function is on its own driver', async () => {
      const [mine, theirs] = [await host.bdf('pair0'), await host.bdf('pair1')];
      await refused([mine], 'GROUP_NOT_VIABLE', mine, theirs, 'e1000e');
    });

    it('a disk that is mounted, which the kernel would have let go', async () => {
      const bdf = await host.bdf('nvme');
      await host.sh('mkfs.ext4 -q /dev/nvme0n1; mkdir -p /run/disk; mount /dev/nvme0n1 /run/disk');
      await refused([bdf], 'IN_USE', bdf, '/run/disk');
      await host.sh('umount /run/disk');
    });

    it('a VM without a free port', async () => {
      await using full = await host.startQemu({ paused: true, hotplug: 'native' });
      const before = await hostState(host);
      const answer = await cli('attach', full.qmpPath, await host.bdf('testdev'));
      expect(answer).toMatchObject({ status: 3, json: { error: { code: 'NO_FREE_PORT' } } });
      expect(await hostState(host)).toBe(before);
    });

    it('a device that another VM has', async () => {
      await using other = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
      const bdf = await host.bdf('testdev');
      await succeed('attach', other.qmpPath, bdf);
      await refused([bdf], 'CONFLICT', 'group-');
      await succeed('detach', other.qmpPath, bdf);
    });
  });

  it('takes the functions of a slot together: one port, function 0 last, and all of them back', async () => {
    const before = await hostState(host);
    const [first, second] = [await host.bdf('pair0'), await host.bdf('pair1')];
    const { status, json } = await cli('attach', vm.qmpPath, first, '--members', 'slot');
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        attachment: {
          functions: [
            { host: second, port: 'rp0', addr: '0x0.1' },
            { host: first, port: 'rp0', addr: '0x0' },
          ],
        },
      },
    });
    const detached = await cli('detach', vm.qmpPath, second);
    expect(detached.status).toBe(0);
    expect(detached.json['removals']).toHaveLength(2);
    expect(await hostState(host)).toBe(before);
  });

  it('undoes everything when device_add fails', async () => {
    const before = await hostState(host);
    const bdf = await host.bdf('nic');
    const answer = await operate({
      address: vm.qmpPath,
      do: 'attach',
      request: { device: bdf },
      intrude: {
        at: 'do AddDevice before-intent',
        address: vm.otherQmpPath,
        command: 'device_add',
        arguments: { driver: 'pci-testdev', id: 'intruder', bus: 'rp0', addr: '0x0' },
      },
    });
    expect(answer).toMatchObject({
      error: { code: 'STEP_FAILED', details: { code: 'COMMAND_FAILED' } },
    });
    await vm.qmp.execute('device_del', { id: 'intruder' });
    await vm.qmp.waitForDeleted('intruder');
    expect(await hostState(host)).toBe(before);
  });

  it('says pending while the guest has not let go, and a later command finishes', async () => {
    await using slow = await host.startQemu({ paused: true, hotplug: 'acpi', args: PORTS });
    const before = await hostState(host);
    const bdf = await host.bdf('testdev');
    await succeed('attach', slow.qmpPath, bdf);
    expect(await cli('detach', slow.qmpPath, bdf, '--timeout', '1')).toMatchObject({
      status: 5,
      json: { removals: [{ state: 'pending' }] },
    });
    expect(await hostState(host)).toContain(overrideOf(bdf, 'vfio-pci'));
    await slow.qmp.execute('system_reset');
    await succeed('detach', slow.qmpPath, bdf);
    expect(await hostState(host)).toBe(before);
  });

  it('gives back what a VM that was killed had', async () => {
    const before = await hostState(host);
    const bdf = await host.bdf('nic');
    const doomed = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
    await succeed('attach', doomed.qmpPath, bdf);
    await doomed.kill();
    expect(await succeed('recover')).toMatchObject({ finished: [{ kind: 'detach' }], open: [] });
    expect(await hostState(host)).toBe(before);
  });
});
