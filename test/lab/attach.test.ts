import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rootPort } from '../support/qemu.js';
import { boundariesOf, parseSweep } from '../support/sweep.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = ['rp0', 'rp1', 'rp2'].flatMap((id, index) => rootPort(id, index + 2));

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
  readonly stderr: string;
}

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

  /** The command line, in the host. */
  const qmplug = async (...args: readonly string[]): Promise<Answer> => {
    const { status, stdout, stderr } = await host.run([
      'node',
      'dist/cli/main.js',
      ...args,
      '--json',
    ]);
    if (stdout === '') throw new Error(`qmplug ${args.join(' ')} ended with ${status}: ${stderr}`);
    return { status, json: JSON.parse(stdout) as Answer['json'], stderr };
  };

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

  /** All that an attach may touch: drivers, overrides, nodes with owner and mode, limits, our own state. */
  const hostState = () =>
    host.sh(`
      ls -ld /sys/bus/pci/devices/*/driver | awk '{print $9, $11}'
      grep -H '' /sys/bus/pci/devices/*/driver_override
      ls -lnA /dev/vfio | awk 'NR > 1 {print $1, $3, $4, $NF}'
      grep -i 'locked memory' /proc/${vm.pid}/limits
      find /run/qmplug/plans /run/qmplug/reservations -type f 2>/dev/null || true
    `);

  const overrideOf = (bdf: string, value: string) =>
    `/sys/bus/pci/devices/${bdf}/driver_override:${value}`;

  const devicesIn = async (machine: InnerQemu) => {
    const list: unknown = await machine.qmp.execute('qom-list', { path: '/machine/peripheral' });
    return (list as readonly { name: string; type: string }[])
      .filter(({ type }) => type === 'child<vfio-pci>')
      .map(({ name }) => name)
      .sort();
  };

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
      const before = await hostState();

      const attached = await qmplug('attach', vm.qmpPath, bdf);
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
      expect(await hostState()).toContain(overrideOf(bdf, 'vfio-pci'));

      expect(await qmplug('detach', vm.qmpPath, bdf)).toMatchObject({
        status: 0,
        json: { removals: [{ id: `vfio_device_${group}_0`, state: 'released' }] },
      });
      expect(await devicesIn(vm)).toEqual([]);
      expect(await hostState()).toBe(before);
      if (foreign !== undefined) await override(bdf, '');
    });
  });

  it('is there already where it is asked for again, and refused elsewhere', async () => {
    const bdf = await host.bdf('testdev');
    expect((await qmplug('attach', vm.qmpPath, bdf)).status).toBe(0);
    expect(await qmplug('attach', vm.qmpPath, bdf)).toMatchObject({
      status: 0,
      json: { attachment: { already: true } },
    });
    expect(await qmplug('attach', vm.qmpPath, bdf, '--port', 'rp1')).toMatchObject({
      status: 3,
      json: { error: { code: 'ATTACHED_ELSEWHERE' } },
    });
    expect((await qmplug('detach', vm.qmpPath, bdf)).status).toBe(0);
  });

  describe('refuses, changes nothing, and names culprit and remedy', () => {
    const refuses = async (args: readonly string[], code: string, ...names: readonly string[]) => {
      const before = await hostState();
      const { status, json, stderr } = await qmplug('attach', vm.qmpPath, ...args);
      expect({ status, json }).toMatchObject({ status: 3, json: { error: { code } } });
      const { message, remedy } = json['error'] as { message: string; remedy: string };
      for (const name of names) expect(message).toContain(name);
      expect(remedy).not.toBe('');
      expect(stderr).toContain(message);
      expect(await hostState()).toBe(before);
    };

    it('a device that is not there', async () => {
      await refuses(['0000:00:1e.7'], 'NO_MATCH', '0000:00:1e.7');
    });

    it('a bridge', async () => {
      const bdf = await host.bdf('pair-port');
      await refuses([bdf], 'DENIED', bdf);
    });

    it('a group of which another function is on its own driver', async () => {
      const [mine, theirs] = [await host.bdf('pair0'), await host.bdf('pair1')];
      await refuses([mine], 'GROUP_NOT_VIABLE', mine, theirs, 'e1000e');
    });

    it('a disk that is mounted, which the kernel would have let go', async () => {
      const bdf = await host.bdf('nvme');
      await host.sh('mkfs.ext4 -q /dev/nvme0n1; mkdir -p /run/disk; mount /dev/nvme0n1 /run/disk');
      await refuses([bdf], 'IN_USE', bdf, '/run/disk');
      await host.sh('umount /run/disk');
    });

    it('a VM without a free port', async () => {
      await using full = await host.startQemu({ paused: true, hotplug: 'native' });
      const before = await hostState();
      const answer = await qmplug('attach', full.qmpPath, await host.bdf('testdev'));
      expect(answer).toMatchObject({ status: 3, json: { error: { code: 'NO_FREE_PORT' } } });
      expect(await hostState()).toBe(before);
    });

    it('a device that another VM has', async () => {
      await using other = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
      const bdf = await host.bdf('testdev');
      expect((await qmplug('attach', other.qmpPath, bdf)).status).toBe(0);
      await refuses([bdf], 'CONFLICT', 'group-');
      expect((await qmplug('detach', other.qmpPath, bdf)).status).toBe(0);
    });
  });

  it('takes the functions of a slot together: one port, function 0 last, and all of them back', async () => {
    const before = await hostState();
    const [first, second] = [await host.bdf('pair0'), await host.bdf('pair1')];
    const { status, json } = await qmplug('attach', vm.qmpPath, first, '--members', 'slot');
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
    const detached = await qmplug('detach', vm.qmpPath, second);
    expect(detached.status).toBe(0);
    expect(detached.json['removals']).toHaveLength(2);
    expect(await hostState()).toBe(before);
  });

  it('undoes everything when device_add fails', async () => {
    const before = await hostState();
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
    expect(await hostState()).toBe(before);
  });

  it('says pending while the guest has not let go, and a later command finishes', async () => {
    await using slow = await host.startQemu({ paused: true, hotplug: 'acpi', args: PORTS });
    const before = await hostState();
    const bdf = await host.bdf('testdev');
    expect((await qmplug('attach', slow.qmpPath, bdf)).status).toBe(0);
    expect(await qmplug('detach', slow.qmpPath, bdf, '--timeout', '1')).toMatchObject({
      status: 5,
      json: { removals: [{ state: 'pending' }] },
    });
    expect(await hostState()).toContain(overrideOf(bdf, 'vfio-pci'));
    await slow.qmp.execute('system_reset');
    expect((await qmplug('detach', slow.qmpPath, bdf)).status).toBe(0);
    expect(await hostState()).toBe(before);
  });

  it('gives back what a VM that was killed had', async () => {
    const before = await hostState();
    const bdf = await host.bdf('nic');
    const doomed = await host.startQemu({ paused: true, hotplug: 'native', args: PORTS });
    expect((await qmplug('attach', doomed.qmpPath, bdf)).status).toBe(0);
    await doomed.kill();
    expect(await qmplug('recover')).toMatchObject({
      status: 0,
      json: { finished: [{ kind: 'detach' }], open: [] },
    });
    expect(await hostState()).toBe(before);
  });

  it('survives SIGKILL at every step boundary', { timeout: 20 * 60_000 }, async () => {
    const specification = {
      address: vm.qmpPath,
      otherAddress: vm.otherQmpPath,
      qemuPid: vm.pid,
      request: { device: await host.bdf('rng') },
    };
    const { stdout, stderr } = await host.run(
      ['node', 'test/programs/kill-sweep.mjs', JSON.stringify(specification)],
      { deadlineMs: 20 * 60_000 },
    );
    const lines = parseSweep(stdout, stderr);
    expect(lines.filter((line) => line.problem !== undefined)).toEqual([]);
    expect(boundariesOf(lines, 'attach')).toBe(16);
    // A detach that has to wait a moment for QEMU passes the boundaries of its suspension as well.
    expect(boundariesOf(lines, 'detach')).toBeGreaterThanOrEqual(24);
  });
});
