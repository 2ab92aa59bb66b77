import { describe, expect, it } from 'vitest';
import { HostControl, type AttachHostDevice, type BindDevicesRequest } from '../../src/index.js';
import type { FunctionConfig, World } from '../../src/simulator/index.js';
import {
  ACCELERATOR,
  createHostWorld,
  environmentOf,
  HOST_FUNCTIONS,
  killAtEveryBoundary,
  onVm,
  runTask,
} from './simulated.js';

const RELEASE = '6.12.95';
const VARIANT = 'acme_vfio_pci';
const ALIASES = `alias vfio_pci:v00001DA3d00001000sv*sd*bc*sc*i* ${VARIANT}\n`;

/** The accelerator has a variant driver, and is on `driver`; its own where that is left out. */
function make(driver?: string): World {
  const functions = HOST_FUNCTIONS.map((fn): FunctionConfig =>
    fn.bdf === ACCELERATOR && driver !== undefined
      ? { ...fn, driver, ...(driver === 'habanalabs' ? {} : { driverOverride: driver }) }
      : fn,
  );
  return createHostWorld({
    seed: 1,
    guest: { kind: 'linux' },
    host: {
      functions,
      release: RELEASE,
      modules: [VARIANT],
      files: { [`/lib/modules/${RELEASE}/modules.alias`]: ALIASES },
    },
  });
}

const attach = (world: World, request: Partial<AttachHostDevice> = {}) =>
  onVm(world, (vm) => vm.attach({ device: ACCELERATOR, ...request }));
const detach = (world: World) => onVm(world, (vm) => vm.detach(ACCELERATOR));
const bind = (world: World, request: Partial<BindDevicesRequest> = {}) => {
  const process = world.startController();
  const control = new HostControl(environmentOf(process));
  return runTask(world, process, () => control.bind({ devices: [ACCELERATOR], ...request }));
};
const release = (world: World) => {
  const process = world.startController();
  const control = new HostControl(environmentOf(process));
  return runTask(world, process, () => control.release({ devices: [ACCELERATOR] }));
};
const driverOf = (world: World) => world.kernel.find(ACCELERATOR)?.driver;

describe('the driver that a device goes in with', () => {
  it.each([
    [undefined, VARIANT],
    ['auto', VARIANT],
    ['vfio-pci', 'vfio-pci'],
  ] as const)('is for %s %s, and afterwards what it was', async (driver, expected) => {
    const world = make();
    const before = world.snapshot();
    const plan = await onVm(world, (vm) => vm.planAttach({ device: ACCELERATOR, driver }));
    expect(plan).toMatchObject({
      plan: {
        steps: expect.arrayContaining([expect.objectContaining({ driver: expected })]) as unknown,
      },
    });
    await attach(world, { driver });
    expect(driverOf(world)).toBe(expected);
    expect(await attach(world, { driver })).toMatchObject({ attachment: { already: true } });
    await detach(world);
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('leaves the variant for the plain one where that is asked for, and comes back to it', async () => {
    const world = make(VARIANT);
    const before = world.snapshot();
    await attach(world, { driver: 'vfio-pci' });
    expect(driverOf(world)).toBe('vfio-pci');
    await detach(world);
    expect(world.snapshot()).toBe(before);
  });

  it.each(['vfio-pci', VARIANT])('is kept: %s is neither bound nor restored', async (driver) => {
    const world = make(driver);
    const before = world.snapshot();
    const { steps } = await attach(world, { driver: 'keep' });
    expect(steps.map(({ kind }) => kind)).not.toContain('BindDriver');
    expect(driverOf(world)).toBe(driver);
    expect(await attach(world, { driver: 'keep' })).toMatchObject({
      attachment: { already: true },
    });
    const removed = await detach(world);
    expect(removed.steps.map(({ kind }) => kind)).not.toContain('RestoreDriver');
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('is kept whenever the process is killed', async () => {
    const start = () => Promise.resolve(make('vfio-pci'));
    const before = (await start()).snapshot();
    const count = await killAtEveryBoundary(
      start,
      (vm) => vm.attach({ device: ACCELERATOR, driver: 'keep' }),
      async (world, kill) => {
        await onVm(world, (vm) => vm.recover());
        await detach(world);
        expect({ kill, host: world.snapshot() }).toEqual({ kill, host: before });
        expect(world.store.contents).toEqual([]);
      },
    );
    expect(count).toBeGreaterThan(4);
  });

  it.each([
    ['its own driver', 'habanalabs', 'habanalabs'],
    ['no driver of VFIO', 'pci-stub', 'pci-stub'],
  ])('cannot be kept where it is %s', async (_, driver, named) => {
    const world = make(driver);
    const before = world.snapshot();
    const refusal = { code: 'WRONG_DRIVER', details: { device: ACCELERATOR, driver: named } };
    await expect(attach(world, { driver: 'keep' })).rejects.toMatchObject(refusal);
    await expect(bind(world, { driver: 'keep' })).rejects.toMatchObject(refusal);
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });

  it('cannot be kept where there is none', async () => {
    const world = make();
    const accelerator = world.kernel.find(ACCELERATOR);
    if (accelerator) accelerator.driver = undefined;
    await expect(attach(world, { driver: 'keep' })).rejects.toMatchObject({
      code: 'WRONG_DRIVER',
      details: { driver: null },
    });
  });

  it('is another than that of a device which is in: not as asked', async () => {
    const world = make();
    await attach(world);
    const before = world.snapshot();
    await expect(attach(world, { driver: 'vfio-pci' })).rejects.toMatchObject({
      code: 'WRONG_DRIVER',
      details: { driver: VARIANT },
    });
    expect(world.snapshot()).toBe(before);
    expect(await attach(world, { driver: 'keep' })).toMatchObject({
      attachment: { already: true },
    });
  });

  it('is for a batch what it is for one', async () => {
    const world = make();
    const choice = { policy: 'all' } as const;
    const request = { device: 'id:1da3:1000', choice, driver: 'vfio-pci' } as const;
    await onVm(world, (vm) => vm.attachBatch(request));
    expect(driverOf(world)).toBe('vfio-pci');
    await detach(world);
    await expect(
      onVm(world, (vm) => vm.attachBatch({ ...request, driver: 'keep' })),
    ).rejects.toMatchObject({ code: 'WRONG_DRIVER' });
  });
});

it('a batch goes the way that is asked for', async () => {
  const world = make();
  const request = { device: 'id:1da3:1000', choice: { policy: 'all' }, route: 'iommufd' } as const;
  await expect(onVm(world, (vm) => vm.attachBatch(request))).rejects.toMatchObject({
    code: 'NO_IOMMUFD',
  });
});

describe('host bind', () => {
  it('takes the driver that is asked for, and does not change it behind anyone', async () => {
    const world = make();
    const before = world.snapshot();
    expect(await bind(world, { driver: 'vfio-pci' })).toMatchObject({
      bound: [{ driver: 'vfio-pci', already: false }],
    });
    expect(await bind(world)).toMatchObject({ bound: [{ driver: 'vfio-pci', already: true }] });
    await release(world);
    await bind(world);
    expect(driverOf(world)).toBe(VARIANT);
    await expect(bind(world, { driver: 'vfio-pci' })).rejects.toMatchObject({
      code: 'WRONG_DRIVER',
      remedy: expect.stringContaining('qmplug host release') as unknown,
    });
    await release(world);
    expect(world.snapshot()).toBe(before);
  });

  it('only looks where the driver is to be kept', async () => {
    const world = make('vfio-pci');
    const before = world.snapshot();
    expect(await bind(world, { driver: 'keep' })).toMatchObject({
      bound: [{ driver: 'vfio-pci', already: true }],
      steps: [],
    });
    expect(world.snapshot()).toBe(before);
    expect(world.store.contents).toEqual([]);
  });
});
