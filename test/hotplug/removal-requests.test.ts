import { describe, expect, it } from 'vitest';
import type { StepContext } from '../../src/hotplug/context.js';
import { RemovalRequests } from '../../src/hotplug/removal-requests.js';
import { addDevice } from '../../src/hotplug/steps/add-device.js';
import { awaitRemoval } from '../../src/hotplug/steps/await-removal.js';
import type { AddDevice } from '../../src/plan/steps.js';
import type { QmpEvent } from '../../src/qmp/session.js';

const BUS = '/machine/peripheral/rp0/rp0';

/** A VM with devices, and what the steps need of the rest. */
function contextOf(inside: Set<string>) {
  const asked: string[] = [];
  const listeners: ((event: QmpEvent) => void)[] = [];
  const execute = async (command: string, args: { readonly [name: string]: unknown }) => {
    if (command === 'device_del') asked.push(String(args['id']));
    if (command === 'qom-list') {
      return [...inside].map((name) => ({ name, type: 'child<virtio-rng-pci>' }));
    }
    if (command === 'query-status') return { running: true, status: 'running' };
    return args['property'] === 'addr' ? 0 : BUS;
  };
  const vm = {
    identity: { kind: 'address', address: 'test' },
    session: async () => ({ execute }),
    isGone: async () => false,
    onEvent: (listener: (event: QmpEvent) => void) => listeners.push(listener),
  } as unknown as StepContext['vm'];
  const clock = { now: () => 0, after: () => () => undefined };
  const removals = new RemovalRequests(vm, clock);
  const context = { vm, clock, removals } as unknown as StepContext;
  const emit = (event: string) => {
    for (const listener of listeners) {
      listener({ event, data: { device: 'd0' } } as unknown as QmpEvent);
    }
  };
  return { context, removals, asked, emit };
}

const awaited = (context: StepContext) =>
  awaitRemoval.do(
    { kind: 'AwaitRemoval', ids: ['d0'], groups: [], asks: ['d0'] },
    context,
    undefined,
  );

describe('what a guest was asked for', () => {
  it('holds for as long as the device is there', async () => {
    const { context, removals, asked } = contextOf(new Set(['d0']));
    await removals.ask('d0');
    expect(await awaited(context)).toMatchObject({ waiting: expect.any(String) as unknown });
    expect(removals.dueMs('d0')).toBeGreaterThan(0);
    expect(asked).toEqual(['d0']);
  });

  it('is forgotten with the device: the next of the name is asked for at once', async () => {
    const inside = new Set(['d0']);
    const { context, removals, asked, emit } = contextOf(inside);
    await removals.ask('d0');
    emit('DEVICE_UNPLUG_GUEST_ERROR');
    inside.delete('d0');
    await awaited(context);
    expect(removals.dueMs('d0')).toBe(0);
    expect(removals.takeDeclined(['d0'])).toBeUndefined();
    inside.add('d0');
    const step = {
      kind: 'AddDevice',
      id: 'd0',
      busPath: BUS,
      devfn: 0,
      addr: '0x0',
      properties: {},
    } as AddDevice;
    await addDevice.undo?.(step, context, undefined);
    expect(asked).toEqual(['d0', 'd0']);
  });
});
