import { describe, expect, it } from 'vitest';
import { known, unknown } from '../../src/known.js';
import { toBdf } from '../../src/pci/pci-address.js';
import type { Attachment } from '../../src/plan/attachment.js';
import { expandMembers } from '../../src/plan/members.js';
import { planAttach } from '../../src/plan/plan-attach.js';
import type { EmulatedRequest, PlanRequest, VfioRequest } from '../../src/plan/request.js';
import type { AddDevice } from '../../src/plan/steps.js';
import { aBar, aHost, aHostDevice, aPort, aVm, aVmDevice, aWorld } from '../support/snapshots.js';

const GPU = '0000:3b:00.0';
const AUDIO = '0000:3b:00.1';
const gpu = aHostDevice(GPU);
const audio = aHostDevice(AUDIO, { classCode: 0x040300, driver: 'snd_hda_intel' });

const vfio = (targets: readonly string[], change: Partial<VfioRequest> = {}): VfioRequest => ({
  kind: 'vfio',
  targets: targets.map((bdf) => toBdf(bdf)),
  drivers: new Map(),
  port: undefined,
  allow: new Set(),
  awaitPlaced: false,
  ...change,
});
const emulated = (change: Partial<EmulatedRequest> = {}): EmulatedRequest => ({
  kind: 'emulated',
  id: 'd0',
  device: { driver: 'pci-testdev' },
  port: undefined,
  allow: new Set(),
  awaitPlaced: false,
  ...change,
});
const stepsOf = (request: PlanRequest, world = aWorld()) => {
  const planning = planAttach(request, world);
  if (planning.kind !== 'plan') throw new Error('nothing was planned');
  return planning.plan;
};
const adds = (request: PlanRequest, world = aWorld()) =>
  stepsOf(request, world).steps.filter((step): step is AddDevice => step.kind === 'AddDevice');
const refused = (code: string, message?: RegExp) =>
  expect.objectContaining({
    code,
    ...(message === undefined ? {} : { message: expect.stringMatching(message) as string }),
  }) as unknown;

describe('planAttach of an emulated device', () => {
  it('is one device_add with bus, addr and id spelled out', () => {
    expect(adds(emulated())).toEqual([
      expect.objectContaining({
        id: 'd0',
        driver: 'pci-testdev',
        bus: 'rp0',
        addr: '0x0',
        devfn: 0,
        busPath: '/machine/peripheral/rp0/rp0',
      }),
    ]);
  });

  it('commits when the last device is proven in place, before the guest is waited for', () => {
    const plan = stepsOf(emulated({ awaitPlaced: true }));
    expect(plan.steps.map((step) => step.kind)).toEqual(['AddDevice', 'AwaitGuest']);
    expect(plan.commit).toEqual({ step: 0, at: 'done' });
  });

  it.each(['id', 'bus', 'addr'])('refuses a device that names its own %s', (key) => {
    const device = { driver: 'pci-testdev', [key]: 'x' };
    expect(() => planAttach(emulated({ device }), aWorld())).toThrow(refused('BAD_ARGUMENT'));
  });

  it('refuses an id that something else has', () => {
    const vm = aVm([aPort('rp0')], [aVmDevice('d0', 'elsewhere', { type: 'virtio-net-pci' })]);
    expect(() => planAttach(emulated(), aWorld({ vm }))).toThrow(
      refused('ID_TAKEN', /virtio-net-pci/),
    );
  });

  it('finds it already there as asked, and refuses it there differently', () => {
    const attachment: Attachment = {
      planId: 'p0',
      scope: 'vm-1',
      device: { driver: 'pci-testdev', membar: 4096 },
      functions: [
        {
          id: 'd0',
          host: undefined,
          port: 'rp1',
          busPath: '/machine/peripheral/rp1/rp1',
          devfn: 0,
          addr: '0x0',
        },
      ],
      groups: [],
      bindings: [],
      grants: [],
    };
    const vm = aVm([aPort('rp0'), aPort('rp1')], [aVmDevice('d0', 'rp1')]);
    const world = aWorld({ vm, attachments: [attachment] });
    const device = { membar: 4096, driver: 'pci-testdev' };
    expect(planAttach(emulated({ device }), world)).toEqual({ kind: 'already', ids: ['d0'] });
    expect(() => planAttach(emulated(), world)).toThrow(refused('ATTACHED_ELSEWHERE'));
    expect(() => planAttach(emulated({ device, port: 'rp0' }), world)).toThrow(
      refused('ATTACHED_ELSEWHERE', /rp1/),
    );
    const leaving = aWorld({ ...world, leaving: new Set(['d0']) });
    expect(() => planAttach(emulated({ device }), leaving)).toThrow(refused('STILL_PENDING'));
  });

  it('takes no id whose removal is not over, though the device is gone already', () => {
    const leaving = aWorld({ leaving: new Set(['d0']) });
    expect(() => planAttach(emulated(), leaving)).toThrow(refused('STILL_PENDING'));
  });
});

describe('planAttach of host functions', () => {
  const host = aHost([gpu]);

  it('reserves, binds, grants and adds, in this order', () => {
    const plan = stepsOf(vfio([GPU]), aWorld({ host }));
    expect(plan.steps.map((step) => step.kind)).toEqual([
      'ReserveGroup',
      'BindDriver',
      'GrantAccess',
      'AddDevice',
    ]);
    expect(plan.commit).toEqual({ step: 3, at: 'done' });
    expect(plan.steps[3]).toMatchObject({
      id: 'vfio_device_17_0',
      driver: 'vfio-pci',
      host: GPU,
      properties: { host: GPU },
      addr: '0x0',
    });
    expect(plan.steps[2]).toMatchObject({ qemuPid: 4242, memlockBytes: 5 * 1024 ** 3 });
  });

  it('has the memory locked once for every device behind a virtual IOMMU', () => {
    const iommu = aVmDevice('iommu', 'none', { type: 'intel-iommu', parentBus: undefined });
    const inside = aVmDevice('vfio_device_9_0', 'rp1', { type: 'vfio-pci', host: '0000:09:00.0' });
    const vm = aVm([aPort('rp0'), aPort('rp1')], [iommu, inside]);
    const { steps } = stepsOf(vfio([GPU]), aWorld({ vm, host }));
    expect(steps[2]).toMatchObject({ memlockBytes: (2 * 4 + 1) * 1024 ** 3 });
  });

  it('puts the functions of a slot into one port, function 0 last and multifunction', () => {
    const [first, second, ...others] = adds(
      vfio([GPU, AUDIO]),
      aWorld({ host: aHost([gpu, audio]) }),
    );
    expect(others).toEqual([]);
    expect(first).toMatchObject({ id: 'vfio_device_17_1', bus: 'rp0', addr: '0x0.1', devfn: 1 });
    expect(first?.properties).toEqual({ host: AUDIO });
    expect(second).toMatchObject({ id: 'vfio_device_17_0', bus: 'rp0', addr: '0x0', devfn: 0 });
    expect(second?.properties).toEqual({ host: GPU, multifunction: true });
  });

  it('gives other slots of the group ports of their own', () => {
    const other = aHostDevice('0000:3c:00.0');
    const world = aWorld({ host: aHost([gpu, other]) });
    expect(adds(vfio([GPU, '0000:3c:00.0']), world).map((add) => [add.id, add.port])).toEqual([
      ['vfio_device_17_0', 'rp0'],
      ['vfio_device_17_1', 'rp1'],
    ]);
  });

  it('counts what it has promised of the windows that slots of one bridge share', () => {
    const slot = (number: number) =>
      aPort(`br0.${number}`, {
        kind: 'pci-bridge-slot',
        slot: number,
        busPath: '/machine/peripheral/br0/br0',
        takenSpans: [],
      });
    const vm = aVm([slot(1), slot(2)]);
    const both = (sizeBytes: bigint) => {
      const bars = [aBar(0, 'mem32', sizeBytes)];
      const host = aHost(
        [GPU, '0000:3c:00.0'].map((bdf) => aHostDevice(bdf, { bars, driver: 'vfio-pci' })),
      );
      return adds(vfio([GPU, '0000:3c:00.0']), aWorld({ vm, host })).map(({ port }) => port);
    };
    expect(both(1n << 20n)).toEqual(['br0.1', 'br0.2']);
    expect(() => both(1n << 21n)).toThrow(refused('NO_WINDOW', /3c:00.0: no port takes its BARs/));
  });

  it('does not count bridges of the group in the id', () => {
    const bridge = aHostDevice('0000:3a:00.0', { bridge: true, driver: 'pcieport' });
    expect(adds(vfio([GPU]), aWorld({ host: aHost([bridge, gpu]) }))[0]?.id).toBe(
      'vfio_device_17_0',
    );
  });

  it('names a device behind VMD by its sysfs path', () => {
    const bdf = '10000:e1:00.0';
    const [add] = adds(vfio([bdf]), aWorld({ host: aHost([aHostDevice(bdf)]) }));
    expect(add?.properties).toEqual({ sysfsdev: `/sys/bus/pci/devices/${bdf}` });
  });

  it('scales the deadline with the memory to pin and the BARs to map', () => {
    const large = aHostDevice(GPU, { bars: [aBar(0, 'pref64', 8n << 30n)] });
    const vm = (gib: bigint) => aVm([aPort('rp0')], [], { ramBytes: known(gib << 30n) });
    const deadline = (gib: bigint) =>
      adds(vfio([GPU]), aWorld({ vm: vm(gib), host: aHost([large]) }))[0]?.deadlineMs;
    expect(deadline(4n)).toBe(30_000 + 4 * 300 + 8 * 31);
    expect(deadline(1024n)).toBe(30_000 + 1024 * 300 + 8 * 31);
  });

  it('refuses a BAR that no free port holds, with the arithmetic', () => {
    const huge = aHostDevice(GPU, { bars: [aBar(2, 'pref64', 128n << 30n)] });
    expect(() => planAttach(vfio([GPU]), aWorld({ host: aHost([huge]) }))).toThrow(
      refused('NO_WINDOW', /BAR 2 .*128G.*0x800000000-0xfffffffff/),
    );
  });

  it('refuses a window it cannot judge unless that is allowed by name', () => {
    const unread = unknown('the buses have no numbers yet');
    const port = aPort('rp0', { prefetchableWindow: unread, memoryWindow: unread });
    const large = aHostDevice(GPU, { bars: [aBar(0, 'pref64', 8n << 30n)] });
    const world = aWorld({ vm: aVm([port]), host: aHost([large]) });
    expect(() => planAttach(vfio([GPU]), world)).toThrow(refused('WINDOW_UNKNOWN'));
    expect(adds(vfio([GPU], { allow: new Set(['unknown-window']) }), world)[0]?.port).toBe('rp0');
  });

  it('goes by what the port asked the firmware for, before that has run', () => {
    const unread = unknown('the buses have no numbers yet');
    const large = aHostDevice(GPU, { bars: [aBar(0, 'pref64', 8n << 30n)] });
    const asking = (gib: bigint) =>
      aPort('rp0', {
        prefetchableWindow: unread,
        memoryWindow: unread,
        prefetchableReserve: gib << 30n,
      });
    const world = (gib: bigint) => aWorld({ vm: aVm([asking(gib)]), host: aHost([large]) });
    expect(adds(vfio([GPU]), world(16n))[0]?.port).toBe('rp0');
    expect(() => planAttach(vfio([GPU]), world(4n))).toThrow(refused('NO_WINDOW', /reserves 4G/));
    expect(() => planAttach(vfio([GPU]), world(8n))).toThrow(refused('WINDOW_UNKNOWN'));
  });

  it('refuses without a proven local QEMU', () => {
    const vm = aVm([aPort('rp0')], [], { identity: { kind: 'address', address: 'tcp:h:1' } });
    expect(() => planAttach(vfio([GPU]), aWorld({ vm, host }))).toThrow(refused('VM_NOT_LOCAL'));
  });

  it.each([
    ['a bridge', aHost([aHostDevice(GPU, { bridge: true })]), 'DENIED', /bridge/],
    ['no IOMMU', aHost([aHostDevice(GPU, { iommuGroup: undefined })]), 'NO_IOMMU', /group/],
    [
      'a sibling on its own driver',
      aHost([gpu, audio]),
      'GROUP_NOT_VIABLE',
      /0000:3b:00\.1 \(driver snd_hda_intel\)/,
    ],
    [
      'a use that blocks',
      aHost([gpu], {
        uses: new Map([
          [
            gpu.bdf,
            [
              {
                bdf: gpu.bdf,
                level: 'block',
                reason: 'in-use.display',
                evidence: 'the last display',
                remedy: 'use another',
              },
            ],
          ],
        ]),
      }),
      'IN_USE',
      /the last display/,
    ],
    [
      'a group open in another process',
      aHost([gpu], {
        holders: new Map([[17, known([{ pid: 7, command: 'qemu', node: '/dev/vfio/17' }])]]),
      }),
      'GROUP_HELD',
      /process 7 \(qemu\)/,
    ],
    [
      'holders that cannot be read',
      aHost([gpu], { holders: new Map([[17, unknown('no permission')]]) }),
      'HOST_UNREADABLE',
      /no permission/,
    ],
  ])('refuses %s', (_, badHost, code, message) => {
    expect(() => planAttach(vfio([GPU]), aWorld({ host: badHost }))).toThrow(
      refused(code, message),
    );
  });

  it('lets a use pass that is allowed by its name, and only by that', () => {
    const finding = {
      bdf: gpu.bdf,
      level: 'block' as const,
      reason: 'in-use.net',
      evidence: 'eth0 is up',
      remedy: 'take it down',
    };
    const busy = aHost([gpu], { uses: new Map([[gpu.bdf, [finding]]]) });
    const world = aWorld({ host: busy });
    expect(() => planAttach(vfio([GPU], { allow: new Set(['in-use']) }), world)).toThrow(
      refused('IN_USE'),
    );
    expect(adds(vfio([GPU], { allow: new Set(['in-use.net']) }), world)).toHaveLength(1);
  });

  it('refuses a group that another VM has reserved, and shares it within one VM', () => {
    const reservation = (scope: string) => ({
      key: 'group-17',
      scope,
      planIds: ['p0'],
      journal: '/run/qmplug',
    });
    const reserved = (scope: string) => aWorld({ host, reservations: [reservation(scope)] });
    expect(() => planAttach(vfio([GPU]), reserved('vm-2'))).toThrow(refused('CONFLICT', /vm-2/));
    expect(adds(vfio([GPU]), reserved('vm-1'))).toHaveLength(1);
  });

  it('finds it already there, refuses it elsewhere, half there or leaving', () => {
    const inside = aVmDevice('vfio_device_17_0', 'rp1', { type: 'vfio-pci', host: GPU });
    const vm = aVm([aPort('rp0'), aPort('rp1')], [inside]);
    const world = aWorld({ vm, host: aHost([gpu, audio]) });
    expect(planAttach(vfio([GPU]), world)).toEqual({ kind: 'already', ids: ['vfio_device_17_0'] });
    expect(() => planAttach(vfio([GPU], { port: 'rp0' }), world)).toThrow(
      refused('ATTACHED_ELSEWHERE', /rp1/),
    );
    expect(() => planAttach(vfio([GPU, AUDIO]), world)).toThrow(refused('ATTACHED_ELSEWHERE'));
    const leaving = new Set(['vfio_device_17_0']);
    expect(() => planAttach(vfio([GPU]), { ...world, leaving })).toThrow(refused('STILL_PENDING'));
  });
});

describe('expandMembers', () => {
  const bridge = aHostDevice('0000:3a:00.0', { bridge: true });
  const far = aHostDevice('0000:3c:00.0');
  const host = aHost([far, audio, gpu, bridge]);

  it.each([
    ['device', [GPU]],
    ['slot', [GPU, AUDIO]],
    ['group', [GPU, AUDIO, '0000:3c:00.0']],
  ] as const)('%s', (members, expected) => {
    expect(expandMembers(host, gpu.bdf, members)).toEqual(expected);
  });

  it('refuses what is not there and what has no group', () => {
    expect(() => expandMembers(host, toBdf('0000:ff:00.0'), 'device')).toThrow(refused('NO_MATCH'));
    const alone = aHost([aHostDevice(GPU, { iommuGroup: undefined })]);
    expect(() => expandMembers(alone, gpu.bdf, 'group')).toThrow(refused('NO_IOMMU'));
  });
});
