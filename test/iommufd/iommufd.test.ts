import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findIommufdKernel } from '../../scripts/lab/iommufd-kernel.mjs';
import { findQemu } from '../../scripts/lab/qemu-versions.mjs';
import { devicesIn, hostState, succeeds } from '../support/host-cli.js';
import { rootPort } from '../support/qemu.js';
import { boundariesOf, sweepOn } from '../support/sweep.js';
import { bootVfioHost, type InnerQemu, type VfioHost } from '../support/vfio-host.js';

const PORTS = ['rp0', 'rp1'].flatMap((id, index) => rootPort(id, index + 2));
const OBJECT = 'qmplug-iommufd';
/** Those that have iommufd. */
const VERSIONS = ['10.0', '11.1'] as const;
const SWEEP_MS = 20 * 60_000;
/** A user that owns nothing in the host. */
const USER = 107;

let host: VfioHost;
beforeAll(async () => {
  const kernel = findIommufdKernel();
  if (!kernel) throw new Error('no kernel with iommufd; run scripts/setup.sh iommufd');
  host = await bootVfioHost({ kernel, devices: ['rng', 'testdev', 'nic'] });
  // For machines of a user: the lines to this test, and the way to a QEMU in somebody's home.
  await host.sh('chmod 666 /dev/ttyS2 /dev/ttyS3');
  for (const version of VERSIONS) await host.sh(`chmod a+x ${directoriesOf(binaryOf(version))}`);
});
afterAll(async () => {
  await host.kill();
});

const succeed = (...args: readonly string[]) => succeeds(host, args);
const nodes = () => host.sh("find /dev/iommu /dev/vfio ! -type d -printf '%U %G %m %p\\n' | sort");

/** What of VFIO and iommufd a machine has open. */
async function openIn({ pid }: InnerQemu): Promise<readonly string[]> {
  const links = await host.sh(`find /proc/${pid}/fd -lname '/dev/*' -printf '%l\\n'`);
  return [...new Set(links.split('\n'))].filter((path) => /^\/dev\/(iommu|vfio)/.test(path)).sort();
}

async function objectsIn(vm: InnerQemu): Promise<readonly string[]> {
  const list: unknown = await vm.qmp.execute('qom-list', { path: '/objects' });
  return (list as readonly { name: string; type: string }[])
    .filter(({ type }) => type === 'child<iommufd>')
    .map(({ name }) => name);
}

function binaryOf(version: (typeof VERSIONS)[number]): string {
  const binary = findQemu(version);
  if (binary === undefined) throw new Error(`no QEMU ${version}; run scripts/setup.sh docker`);
  return binary;
}

/** Every directory above a file, but for the root. */
function directoriesOf(path: string): string {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`).join(' ');
}

describe.each(VERSIONS)('QEMU %s, on a real kernel with iommufd', (version) => {
  const start = (binary: string) =>
    host.startQemu({ binary, paused: true, hotplug: 'native', args: PORTS });

  describe('as root', () => {
    let vm: InnerQemu;
    beforeAll(async () => {
      vm = await start(binaryOf(version));
    });
    afterAll(async () => {
      await vm.kill();
    });

    it('takes a device by its own node and gives it back, and the host is as it was', async () => {
      const bdf = await host.bdf('rng');
      const before = [await hostState(host), await nodes()];
      expect(await succeed('attach', vm.qmpPath, bdf)).toMatchObject({
        attachment: {
          route: { kind: 'iommufd', why: 'host and QEMU have it' },
          functions: [{ host: bdf, port: 'rp0' }],
        },
      });
      expect(await openIn(vm)).toEqual(['/dev/iommu', '/dev/vfio/devices/vfio0']);
      expect(await succeed('detach', vm.qmpPath, bdf)).toMatchObject({
        removals: [{ state: 'released' }],
      });
      expect([await objectsIn(vm), await openIn(vm)]).toEqual([[], []]);
      expect([await hostState(host), await nodes()]).toEqual(before);
    });

    it('shares one object among its devices, which goes with the last', async () => {
      const [first, second] = [await host.bdf('rng'), await host.bdf('nic')];
      const before = await hostState(host);
      await succeed('attach', vm.qmpPath, first);
      await succeed('attach', vm.qmpPath, second);
      expect(await objectsIn(vm)).toEqual([OBJECT]);
      expect(await devicesIn(vm)).toHaveLength(2);
      await expect(vm.qmp.execute('object-del', { id: OBJECT })).rejects.toThrow(
        / is in use, | with 2 users/,
      );
      await succeed('detach', vm.qmpPath, first);
      expect(await objectsIn(vm)).toEqual([OBJECT]);
      await succeed('detach', vm.qmpPath, second);
      expect(await objectsIn(vm)).toEqual([]);
      expect(await hostState(host)).toBe(before);
    });

    it('goes by the group where that is asked for, and the next device follows it', async () => {
      const [first, second] = [await host.bdf('testdev'), await host.bdf('rng')];
      const before = await hostState(host);
      expect(await succeed('attach', vm.qmpPath, first, '--no-iommufd')).toMatchObject({
        attachment: { route: { kind: 'group' } },
      });
      expect((await openIn(vm)).filter((path) => path.includes('iommu'))).toEqual([]);
      expect(await succeed('attach', vm.qmpPath, second)).toMatchObject({
        attachment: { route: { kind: 'group' } },
      });
      await succeed('detach', vm.qmpPath, second);
      await succeed('detach', vm.qmpPath, first);
      expect(await hostState(host)).toBe(before);
    });

    it('survives SIGKILL at every step boundary', { timeout: SWEEP_MS }, async () => {
      const lines = await sweepOn(host, vm, await host.bdf('rng'), SWEEP_MS - 60_000);
      expect(lines.filter((line) => line.problem !== undefined)).toEqual([]);
      expect(boundariesOf(lines, 'attach')).toBe(20);
    });
  });

  describe('as a user who may open neither node', () => {
    let vm: InnerQemu;
    beforeAll(async () => {
      const wrapper = `/run/qemu-${version}`;
      const as = `setpriv --reuid ${USER} --regid ${USER} --clear-groups`;
      const script = `#!/bin/sh\\nexec ${as} ${binaryOf(version)} "$@"\\n`;
      await host.sh(`printf '${script}' >${wrapper}; chmod 755 ${wrapper}`);
      vm = await start(wrapper);
    });
    afterAll(async () => {
      await vm.kill();
    });

    it('is handed both open, and no owner of a node is changed', async () => {
      const bdf = await host.bdf('rng');
      const before = await hostState(host);
      const open = await nodes();
      const expected = {
        kind: 'descriptors',
        why: `/dev/iommu is closed to QEMU, which runs as uid ${USER}`,
      };
      expect(await succeed('attach', vm.qmpPath, bdf)).toMatchObject({
        attachment: { route: expected, functions: [{ host: bdf, port: 'rp0' }] },
      });
      expect(await openIn(vm)).toEqual(['/dev/iommu', '/dev/vfio/devices/vfio0']);
      // The nodes of the driver came with it; they and those before are root's alone.
      expect(await nodes()).toMatch(/^(0 0 (600|660|666) .*\n)+$/);
      await succeed('detach', vm.qmpPath, bdf);
      expect(await objectsIn(vm)).toEqual([]);
      // QEMU does not close /dev/iommu that it was handed; it holds no device by it.
      expect(await openIn(vm)).toEqual(['/dev/iommu']);
      expect(await nodes()).toBe(open);
      expect(await hostState(host)).toBe(before);
    });

    it('is lent the node of the group where that is asked for, until the detach', async () => {
      const bdf = await host.bdf('nic');
      const before = await hostState(host);
      await succeed('attach', vm.qmpPath, bdf, '--no-iommufd');
      expect(await nodes()).toMatch(new RegExp(`^${USER} .* /dev/vfio/\\d+$`, 'm'));
      await succeed('detach', vm.qmpPath, bdf);
      expect(await hostState(host)).toBe(before);
    });
  });
});
