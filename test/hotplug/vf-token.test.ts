import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { openVm, type AttachHostDevice } from '../../src/index.js';
import { CommandError } from '../../src/qmp/failures.js';
import { nicFunction, rootPorts, type World } from '../../src/simulator/index.js';
import { createMask } from '../../src/transcript/secrets.js';
import { identifyVm } from '../../src/vm/identity.js';
import {
  ADDRESS,
  createHostWorld,
  environmentOf,
  killAtEveryBoundary,
  onVm,
  runTask,
} from './simulated.js';

const PF = '0000:81:00.0';
const TOKEN = '5dbb4a7c-6a49-4f7a-9c37-2d8a1f0be111';
const OTHER = '00000000-6a49-4f7a-9c37-2d8a1f0be111';

interface Host {
  readonly release?: '7.2.22' | '10.0.13';
  /** The driver of the PF. */
  readonly driver?: string;
}

/** A PF with two VFs, which somebody has through VFIO where nothing else is said. */
function make({ release = '10.0.13', driver = 'vfio-pci' }: Host = {}): World {
  return createHostWorld({
    seed: 1,
    guest: { kind: 'linux' },
    host: {
      cdev: true,
      functions: [
        {
          ...nicFunction({ bdf: PF, group: 9 }),
          driver,
          sriov: { totalVfs: 8, vfDeviceId: 0x1520, numVfs: 2, vfToken: TOKEN },
        },
      ],
    },
    qemu: {
      release,
      hotplug: 'acpi',
      monitors: [ADDRESS],
      devices: rootPorts(3, { properties: { 'pref64-reserve': 1n << 30n } }),
      firmware: { windowAlignment: 'natural' },
    },
  });
}

const vfOf = (world: World) => {
  const vf = world.kernel.functions.find(({ physfn }) => physfn === PF);
  if (vf === undefined) throw new Error('there is no VF');
  return vf.bdf;
};
const attach = (world: World, request: Partial<AttachHostDevice> = {}) =>
  onVm(world, (vm) => vm.attach({ device: vfOf(world), vfToken: TOKEN, ...request }));
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
/** All that there is of it, causes and hidden members included. */
const all = (value: unknown) => inspect(value, { depth: Infinity, showHidden: true });

describe('a virtual function whose physical function is with VFIO', () => {
  it('goes in with its token, which is kept nowhere', async () => {
    const world = make();
    const before = world.snapshot();
    const logged: unknown[] = [];
    const log = (...told: unknown[]) => void logged.push(told);
    const process = world.startController();
    const logger = { debug: log, info: log, warn: log, error: log };
    const environment = { ...environmentOf(process), logger };
    const [result, preview] = await runTask(world, process, async () => {
      await using vm = await openVm(ADDRESS, {
        environment,
        transport: () => process.connect(ADDRESS),
        identity: await identifyVm(ADDRESS, process.effects),
      });
      const request = { device: vfOf(world), vfToken: TOKEN };
      const planned = await vm.planAttach(request);
      return [await vm.attach(request), planned] as const;
    });
    expect(result.attachment.route).toEqual({
      kind: 'group',
      why: 'a VF token goes through the group alone',
    });
    const added = world.vm().machine.devices.find(({ hotplugged }) => hotplugged);
    expect(added?.properties.get('vf-token')).toBe(TOKEN);
    for (const told of [result, preview, logged, world.store.contents]) {
      expect(all(told)).not.toContain(TOKEN);
    }
    expect(await attach(world)).toMatchObject({ attachment: { already: true } });
    await onVm(world, (vm) => vm.detach(vfOf(world)));
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('goes in with a batch', async () => {
    const world = make();
    const device = `vf pf-of:${PF}`;
    const entries = await onVm(world, (vm) =>
      vm.attachBatch({ device, choice: { policy: 'all' }, vfToken: TOKEN.toUpperCase() }),
    );
    const [entry] = entries;
    expect(entry?.kind === 'attached' && entry.result.attachment.functions).toHaveLength(2);
  });

  it.each([
    ['without its token', {}, { vfToken: undefined }, /opens it with its token alone/],
    ['by a QEMU that takes none', { release: '7.2.22' }, {}, /QEMU 7\.2\.22 takes no token/],
    ['through iommufd', {}, { route: 'iommufd' }, /through the IOMMU group alone/],
    ['with descriptors', {}, { route: 'descriptors' }, /through the IOMMU group alone/],
  ] as const)('is refused %s', async (_, host, request, message) => {
    const world = make(host);
    const before = world.snapshot();
    await expect(attach(world, request)).rejects.toMatchObject({
      code: 'VF_TOKEN',
      message: expect.stringMatching(message) as unknown,
      details: { device: vfOf(world), physfn: PF, driver: 'vfio-pci' },
    });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('is taken back where the token is another, which the failure does not tell', async () => {
    const world = make();
    const before = world.snapshot();
    const failure = await failureOf(attach(world, { vfToken: OTHER }));
    expect(failure).toMatchObject({ code: 'STEP_FAILED' });
    expect(all(failure)).toContain('Permission denied');
    expect(all(failure)).not.toContain(OTHER);
    expect(world.snapshot()).toBe(before);
  });

  it('is taken back or stays, whenever the process is killed, and the token is never kept', async () => {
    const start = () => Promise.resolve(make());
    const before = (await start()).snapshot();
    const count = await killAtEveryBoundary(
      start,
      async (vm) => vm.attach({ device: vfOf(make()), vfToken: TOKEN }),
      async (world, kill) => {
        expect(all(world.store.contents)).not.toContain(TOKEN);
        await onVm(world, (vm) => vm.recover());
        await onVm(world, (vm) => vm.detach(vfOf(world)));
        expect({ kill, host: world.snapshot() }).toEqual({ kill, host: before });
        expect(world.store.contents).toEqual([]);
      },
    );
    expect(count).toBeGreaterThan(8);
  });
});

describe('a token that nobody asks for', () => {
  it('is refused: the kernel would refuse the device', async () => {
    const world = make({ driver: 'igb' });
    await expect(attach(world)).rejects.toMatchObject({
      code: 'VF_TOKEN',
      remedy: 'leave --vf-token out',
    });
    expect(await attach(world, { vfToken: undefined })).toMatchObject({
      attachment: { already: false },
    });
  });

  it('does not open the physical function, which stays in use by its virtual ones', async () => {
    const world = make();
    const before = world.snapshot();
    for (const allow of [[], ['in-use.sriov']]) {
      const failure = await failureOf(attach(world, { device: PF, allow }));
      expect(failure).toMatchObject({ code: expect.stringMatching(/VF_TOKEN|IN_USE/) as unknown });
    }
    await expect(attach(world, { device: PF, vfToken: undefined })).rejects.toMatchObject({
      code: 'IN_USE',
      details: { reason: 'in-use.sriov' },
    });
    expect(world.snapshot()).toBe(before);
  });

  it.each(['', 'x', `${TOKEN}\n`, `{${TOKEN}}`, TOKEN.slice(1)])(
    'is no UUID: %j, and is not repeated',
    async (vfToken) => {
      const failure = await failureOf(attach(make(), { vfToken }));
      expect(failure).toMatchObject({ code: 'BAD_ARGUMENT' });
      if (vfToken.length > 1) expect(all(failure)).not.toContain(vfToken.trim());
    },
  );
});

it('a token is masked in what is recorded, and in a failed command', () => {
  const args = { driver: 'vfio-pci', id: 'v0', 'vf-token': TOKEN };
  const message = { execute: 'device_add', arguments: args };
  const masked = createMask()({ t: 0, dir: 'out', msg: message });
  expect(all(masked)).not.toContain(TOKEN);
  const error = new CommandError('device_add', args, { class: 'GenericError', desc: 'no' });
  expect(all(error)).not.toContain(TOKEN);
  expect(error.request).toEqual({ ...args, 'vf-token': '(hidden)' });
});
