import { describe, expect, it } from 'vitest';
import type { Attachment } from '../../src/plan/attachment.js';
import { planAttach } from '../../src/plan/plan-attach.js';
import { planDetach } from '../../src/plan/plan-detach.js';
import type { EmulatedRequest } from '../../src/plan/request.js';
import type { AddDevice } from '../../src/plan/steps.js';
import type { World } from '../../src/plan/world.js';
import { aPort, aVm, aVmDevice, aWorld } from '../support/snapshots.js';

const EDU = { driver: 'edu' };
const RNG = { driver: 'virtio-rng-pci' };
const TEST = { driver: 'pci-testdev' };
const UNKNOWN_BARS = { driver: 'e1000e' };
const MIB = 1 << 20;

const functions = (...device: readonly EmulatedRequest['device'][]): EmulatedRequest => ({
  kind: 'emulated',
  id: 'd0',
  device: device as EmulatedRequest['device'],
  port: undefined,
  allow: new Set(),
  awaitPlaced: false,
});

function addsOf(request: EmulatedRequest, world: World = aWorld()): readonly AddDevice[] {
  const planning = planAttach(request, world);
  if (planning.kind !== 'plan') throw new Error('nothing was planned');
  return planning.plan.steps.filter((step) => step.kind === 'AddDevice');
}

const refused = (code: string) => expect.objectContaining({ code }) as unknown;

describe('a list of emulated functions', () => {
  it('shares one port, 1 to 7 first and 0 last, and only 0 says that there are more', () => {
    expect(addsOf(functions(EDU, RNG, TEST))).toMatchObject([
      { id: 'd0.1', port: 'rp0', addr: '0x0.1', devfn: 1, driver: RNG.driver, properties: {} },
      { id: 'd0.2', port: 'rp0', addr: '0x0.2', devfn: 2, driver: TEST.driver, properties: {} },
      { id: 'd0', port: 'rp0', addr: '0x0', devfn: 0, properties: { multifunction: true } },
    ]);
  });

  it('takes the slot of a bridge, whatever number that has', () => {
    const slot = aPort('br0.3', { kind: 'pci-bridge-slot', slot: 3 });
    const world = aWorld({ vm: aVm([slot]) });
    expect(addsOf(functions(EDU, EDU), world)).toMatchObject([
      { addr: '0x3.1', devfn: 25 },
      { addr: '0x3', devfn: 24 },
    ]);
  });

  it('commits with function 0, and waits for the BARs of all', () => {
    const planning = planAttach({ ...functions(EDU, RNG), awaitPlaced: true }, aWorld());
    expect(planning).toMatchObject({
      plan: {
        commit: { step: 1, at: 'done' },
        steps: [{}, { id: 'd0' }, { kind: 'AwaitGuest', ids: ['d0.1', 'd0'] }],
      },
    });
  });

  it('fits by the BARs of all functions, or is judged once QEMU has made them', () => {
    const half = { driver: 'pci-testdev', membar: 1 * MIB };
    const port = aPort('rp0', {
      prefetchableWindow: { known: true, value: { base: 0n, limit: (1n << 20n) - 1n } },
    });
    const world = aWorld({ vm: aVm([port]) });
    expect(addsOf({ ...functions(half), device: half }, world)).toHaveLength(1);
    expect(() => planAttach(functions(half, half), world)).toThrow(refused('NO_WINDOW'));
    expect(addsOf(functions(EDU, UNKNOWN_BARS))).toMatchObject([
      { judgeBars: true },
      { judgeBars: true },
    ]);
  });

  it('is refused where one of its ids is taken, or its removal is not over', () => {
    const vm = aVm([aPort('rp0'), aPort('rp1')], [aVmDevice('d0.1', 'rp1')]);
    expect(() => planAttach(functions(EDU, RNG), aWorld({ vm }))).toThrow(refused('ID_TAKEN'));
    const leaving = new Set(['d0.1']);
    expect(() => planAttach(functions(EDU, RNG), aWorld({ leaving }))).toThrow(
      refused('STILL_PENDING'),
    );
  });

  it('is refused where a slot takes one function', () => {
    const channels = { devnos: [], zpci: [], functions: [] };
    const vm = aVm([aPort('pci.0.0')], [], { channels });
    expect(() => planAttach(functions(EDU, RNG), aWorld({ vm }))).toThrow(
      refused('UNSUPPORTED_MACHINE'),
    );
  });
});

describe('functions that are attached', () => {
  const device = [EDU, RNG];
  const attachment: Attachment = {
    planId: 'plan-0',
    scope: 'vm-1',
    functions: ['d0.1', 'd0'].map((id) => ({
      id,
      host: undefined,
      port: 'rp0',
      busPath: '/machine/peripheral/rp0/rp0',
      devfn: id === 'd0' ? 0 : 1,
      addr: id === 'd0' ? '0x0' : '0x0.1',
    })),
    device,
    groups: [],
    bindings: [],
    grants: [],
  };
  const inside = [aVmDevice('d0.1', 'rp0', { devfn: 1 }), aVmDevice('d0', 'rp0')];
  const world = aWorld({
    vm: aVm([aPort('rp0'), aPort('rp1')], inside),
    attachments: [attachment],
  });

  it('are there already only as asked, and whole', () => {
    expect(planAttach(functions(EDU, RNG), world)).toEqual({
      kind: 'already',
      ids: ['d0.1', 'd0'],
    });
    const elsewhere = refused('ATTACHED_ELSEWHERE');
    expect(() => planAttach(functions(RNG, EDU), world)).toThrow(elsewhere);
    expect(() => planAttach(functions(EDU, RNG, TEST), world)).toThrow(elsewhere);
    expect(() => planAttach({ ...functions(), device: EDU }, world)).toThrow(elsewhere);
    const partly = { ...world, vm: aVm([aPort('rp0')], inside.slice(1)) };
    expect(() => planAttach(functions(EDU, RNG), partly)).toThrow(elsewhere);
  });

  it('go together: one request for function 0, and every id followed to its end', () => {
    expect(planDetach(attachment, world, new Set()).steps).toMatchObject([
      { kind: 'RemoveDevice', id: 'd0', ids: ['d0.1', 'd0'] },
      { kind: 'AwaitRemoval', ids: ['d0.1', 'd0'], asks: ['d0'] },
      { kind: 'ForgetAttachment' },
    ]);
  });
});
