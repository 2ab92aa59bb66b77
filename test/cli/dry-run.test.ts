import { describe, expect, it } from 'vitest';
import { plannedAttach, plannedDetach } from '../../src/cli/dry-run.js';
import { renderAttach, type AttachDocument } from '../../src/cli/render-attach.js';
import { toJson } from '../../src/cli/to-json.js';
import { toBdf } from '../../src/pci/pci-address.js';
import { planAttach } from '../../src/plan/plan-attach.js';
import { planForeignDetach } from '../../src/plan/plan-detach.js';
import { aHost, aHostDevice, aPort, aVm, aVmDevice, aWorld } from '../support/snapshots.js';

const GPU = '0000:3b:00.0';
const SOUND = '0000:3b:00.1';

function planGpu() {
  const host = aHost([
    aHostDevice(GPU),
    aHostDevice(SOUND, { classCode: 0x040300, driver: 'snd_hda_intel' }),
  ]);
  const world = aWorld({ host });
  const planning = planAttach(
    {
      kind: 'vfio',
      targets: [toBdf(GPU), toBdf(SOUND)],
      drivers: new Map(),
      port: 'rp1',
      allow: new Set(),
      awaitPlaced: true,
    },
    world,
  );
  if (planning.kind !== 'plan') throw new Error('nothing was planned');
  return { plan: planning.plan, vm: world.vm };
}

describe('a dry run of a GPU with its sound function', () => {
  it('prints group, functions with their places, and every step in its order', () => {
    const { plan, vm } = planGpu();
    const fn = (id: string, host: string, addr: string, guestPath: string) => ({
      ...{ id, host, port: 'rp1', addr, guestPath },
      guestBdf: null,
      bars: [],
    });
    const document = toJson(plannedAttach({ kind: 'plan', plan }, vm));
    expect(document).toEqual({
      attachment: {
        group: 17,
        already: false,
        functions: [
          fn('vfio_device_17_1', SOUND, '0x0.1', '03/00.1'),
          fn('vfio_device_17_0', GPU, '0x0', '03/00'),
        ],
      },
      steps: plan.steps.map(({ kind }) => ({ kind, outcome: 'planned', ms: 0 })),
    });
    expect(plan.steps.map(({ kind }) => kind)).toEqual([
      ...['ReserveGroup', 'BindDriver', 'BindDriver', 'GrantAccess'],
      ...['AddDevice', 'AddDevice', 'AwaitGuest'],
    ]);
  });

  it('reads as a plan, not as a deed', () => {
    const { plan, vm } = planGpu();
    expect(renderAttach(plannedAttach({ kind: 'plan', plan }, vm)).split('\n')).toEqual([
      `would attach vfio_device_17_1 (${SOUND}) in rp1: 03/00.1`,
      `would attach vfio_device_17_0 (${GPU}) in rp1: 03/00`,
      ...plan.steps.map(({ kind }) => `  ${kind}`),
    ]);
  });
});

it('names in the dry run of a detach everything that goes along', () => {
  const inside = [aVmDevice('a', 'rp0'), aVmDevice('b', 'rp0', { devfn: 1 })];
  const [device] = inside;
  if (device === undefined) throw new Error('no device');
  const world = aWorld({ vm: aVm([aPort('rp0')], inside) });
  const plan = planForeignDetach(device, world, new Set(['slot-mates']));
  expect(plannedDetach(plan)).toEqual({
    removals: ['a', 'b'].map((id) => ({ id, state: 'planned', ms: 0 })),
    steps: ['RemoveDevice', 'AwaitRemoval'].map((kind) => ({ kind, outcome: 'planned', ms: 0 })),
  });
});

it('tells of an attachment where it is, what its BARs are and what each step took', () => {
  const document: AttachDocument = {
    attachment: {
      group: 17,
      already: false,
      functions: [
        {
          id: 'vfio_device_17_0',
          host: GPU,
          port: 'rp1',
          addr: '0x0',
          guestPath: '03/00',
          guestBdf: '0000:02:00.0',
          bars: [
            { bar: 0, sizeBytes: 1n << 24n, address: 0xfe00_0000n },
            { bar: 1, sizeBytes: 1n << 37n, address: undefined },
          ],
        },
      ],
    },
    steps: [{ kind: 'AddDevice', outcome: 'done', ms: 12.345 }],
  };
  expect(renderAttach(document).split('\n')).toEqual([
    `attached vfio_device_17_0 (${GPU}) in rp1: 03/00, 0000:02:00.0`,
    '  BAR 0: 16M at 0xfe000000',
    '  BAR 1: 128G not placed by the guest',
    '  AddDevice: done (12.3 ms)',
  ]);
});
