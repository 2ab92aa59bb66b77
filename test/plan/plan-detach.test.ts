import { describe, expect, it } from 'vitest';
import { known } from '../../src/known.js';
import { toBdf } from '../../src/pci/pci-address.js';
import type { AttachedFunction, Attachment } from '../../src/plan/attachment.js';
import { findDetachTarget, planDetach, planForeignDetach } from '../../src/plan/plan-detach.js';
import { aPort, aVm, aVmDevice, aWorld } from '../support/snapshots.js';

const GPU = toBdf('0000:3b:00.0');
const fn = (id: string, port: string, devfn = 0): AttachedFunction => ({
  id,
  host: GPU,
  port,
  busPath: `/machine/peripheral/${port}/${port}`,
  devfn,
  addr: '0x0',
});
const anAttachment = (planId: string, change: Partial<Attachment> = {}): Attachment => ({
  planId,
  scope: 'vm-1',
  device: undefined,
  functions: [fn('vfio_device_17_1', 'rp0', 1), fn('vfio_device_17_0', 'rp0')],
  groups: [17],
  bindings: [
    {
      step: { kind: 'BindDriver', bdf: GPU, group: 17, driver: 'vfio-pci' },
      record: { was: 'nouveau' },
    },
  ],
  grants: [
    {
      step: { kind: 'GrantAccess', group: 17, qemuPid: 1, memlockBytes: 1 },
      record: { limit: 'low' },
    },
  ],
  ...change,
});
const both = [
  aVmDevice('vfio_device_17_1', 'rp0', { devfn: 1 }),
  aVmDevice('vfio_device_17_0', 'rp0', { host: GPU }),
];
const ports = [aPort('rp0'), aPort('rp1')];
const nothing = new Set<string>();
const refused = (code: string) => expect.objectContaining({ code }) as unknown;

describe('planDetach', () => {
  const mine = anAttachment('p1');

  it('asks once for the slot, by function 0, and follows every id to its end', () => {
    const world = aWorld({ vm: aVm(ports, both), attachments: [mine] });
    const plan = planDetach(mine, world, nothing);
    expect(plan.steps).toEqual([
      {
        kind: 'RemoveDevice',
        port: 'rp0',
        id: 'vfio_device_17_0',
        ids: ['vfio_device_17_1', 'vfio_device_17_0'],
      },
      {
        kind: 'AwaitRemoval',
        ids: ['vfio_device_17_1', 'vfio_device_17_0'],
        groups: [17],
        asks: ['vfio_device_17_0'],
      },
      { kind: 'RevokeAccess', group: 17, record: { limit: 'low' }, planId: 'p1' },
      {
        kind: 'RestoreDriver',
        bdf: GPU,
        group: 17,
        record: { was: 'nouveau' },
        id: 'vfio_device_17_1',
      },
      { kind: 'ReleaseGroup', group: 17, planId: 'p1' },
      { kind: 'ForgetAttachment', planId: 'p1' },
    ]);
    expect(plan.commit).toEqual({ step: 0, at: 'intended' });
  });

  it('does not ask for what left by itself, and still gives the host back', () => {
    const plan = planDetach(mine, aWorld({ vm: aVm(ports), attachments: [mine] }), nothing);
    expect(plan.steps.map((step) => step.kind)).toEqual([
      'AwaitRemoval',
      'RevokeAccess',
      'RestoreDriver',
      'ReleaseGroup',
      'ForgetAttachment',
    ]);
  });

  it('keeps the group while another attachment has devices of it inside', () => {
    const other = anAttachment('p2', { functions: [fn('vfio_device_17_2', 'rp1')] });
    const vm = aVm(ports, [...both, aVmDevice('vfio_device_17_2', 'rp1')]);
    const plan = planDetach(mine, aWorld({ vm, attachments: [mine, other] }), nothing);
    expect(plan.steps.map((step) => step.kind)).toEqual(['RemoveDevice', 'AwaitRemoval']);
    expect(plan.steps[1]).toMatchObject({ groups: [] });
  });

  it('refuses to take along what nobody named, unless that is allowed', () => {
    const stranger = aVmDevice('stranger', 'rp0', { devfn: 2 });
    const world = aWorld({ vm: aVm(ports, [...both, stranger]), attachments: [mine] });
    expect(() => planDetach(mine, world, nothing)).toThrow(refused('SLOT_SHARED'));
    const [removal] = planDetach(mine, world, new Set(['slot-mates'])).steps;
    expect(removal).toMatchObject({
      ids: ['vfio_device_17_1', 'vfio_device_17_0', 'stranger'],
    });
  });

  it('refuses a port that lets nothing go', () => {
    const vm = aVm([aPort('rp0', { mechanism: known('none') })], both);
    expect(() => planDetach(mine, aWorld({ vm, attachments: [mine] }), nothing)).toThrow(
      refused('NOT_REMOVABLE'),
    );
  });
});

describe('a device that somebody else attached', () => {
  const device = aVmDevice('theirs', 'rp0', { host: GPU });

  it('is taken out, and its host driver left alone', () => {
    const world = aWorld({ vm: aVm(ports, [device]) });
    expect(planForeignDetach(device, world, nothing).steps).toEqual([
      { kind: 'RemoveDevice', port: 'rp0', id: 'theirs', ids: ['theirs'] },
      { kind: 'AwaitRemoval', ids: ['theirs'], groups: [], asks: ['theirs'] },
    ]);
  });

  it('is refused where it sits in no port', () => {
    const cold = aVmDevice('cold', 'none', { parentBus: '/machine/q35/pcie.0' });
    expect(() => planForeignDetach(cold, aWorld({ vm: aVm(ports, [cold]) }), nothing)).toThrow(
      refused('NOT_REMOVABLE'),
    );
  });
});

describe('findDetachTarget', () => {
  const mine = anAttachment('p1');
  const theirs = aVmDevice('theirs', 'rp1', { host: '0000:41:00.0' });
  const world = aWorld({ vm: aVm(ports, [...both, theirs]), attachments: [mine] });

  it.each([
    ['vfio_device_17_1', 'attachment'],
    [GPU, 'attachment'],
    ['theirs', 'foreign'],
    ['0000:41:00.0', 'foreign'],
    ['never', 'gone'],
  ])('%s: %s', (what, kind) => {
    expect(findDetachTarget(what, world).kind).toBe(kind);
  });

  it('takes the latest attachment of a device that came twice', () => {
    const again = { ...world, attachments: [mine, anAttachment('p2')] };
    expect(findDetachTarget(GPU, again)).toMatchObject({ attachment: { planId: 'p2' } });
  });
});
