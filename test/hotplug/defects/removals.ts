import { deviceIds, presenceOf } from '../../../src/hotplug/presence.js';
import type { VmLink } from '../../../src/hotplug/vm-link.js';
import { inHandlers, type Defect } from './defect.js';
import { command, oneByOne } from './story.js';

/** Ids that a DEVICE_DELETED named, for each way to a VM. */
function rememberDeleted() {
  const deleted = new WeakMap<VmLink, Set<string>>();
  return (vm: VmLink): Set<string> => {
    const known = deleted.get(vm);
    if (known !== undefined) return known;
    const ids = new Set<string>();
    deleted.set(vm, ids);
    vm.onEvent(({ event, data }) => {
      if (event === 'DEVICE_DELETED' && typeof data.device === 'string') ids.add(data.device);
    });
    return ids;
  };
}

export const removalDefects: readonly Defect[] = [
  inHandlers(
    'the port is free once device_del was accepted',
    ['hands-off', 'recovers', 'true-answer', 'no-phantom', 'works-undisturbed'],
    (own) => ({
      AwaitRemoval: { ...own.AwaitRemoval, do: () => Promise.resolve() },
    }),
  ),

  inHandlers(
    'an event is proof of the removal',
    ['true-answer'],
    (own) => {
      const deletedOf = rememberDeleted();
      return {
        RemoveDevice: {
          ...own.RemoveDevice,
          do: (step, context, record) => {
            for (const id of step.ids) deletedOf(context.vm).delete(id);
            return own.RemoveDevice.do(step, context, record);
          },
        },
        AwaitRemoval: {
          ...own.AwaitRemoval,
          do: async (step, context, record) => {
            const deleted = deletedOf(context.vm);
            if (step.ids.every((id) => deleted.has(id))) return;
            return own.AwaitRemoval.do(step, context, record);
          },
        },
      };
    },
    {
      guest: 'slow',
      faultCount: 0,
      rules: [{ fault: 'foreign-event', at: { command: 'device_del' } }],
      batches: oneByOne(command('attach', 'd0', { waits: false }), command('detach', 'd0')),
    },
  ),

  inHandlers(
    "a namesake's DEVICE_DELETED is believed",
    ['true-answer'],
    (own) => {
      const deletedOf = rememberDeleted();
      return {
        AddDevice: {
          ...own.AddDevice,
          do: (step, context, record) => {
            deletedOf(context.vm);
            return own.AddDevice.do(step, context, record);
          },
        },
        AwaitRemoval: {
          ...own.AwaitRemoval,
          do: async (step, context, record) => {
            const deleted = deletedOf(context.vm);
            if (step.groups.length === 0 && step.ids.every((id) => deleted.has(id))) return;
            return own.AwaitRemoval.do(step, context, record);
          },
        },
      };
    },
    {
      guest: 'slow',
      faultCount: 0,
      rules: [{ fault: 'foreign-event', at: { command: 'device_add' } }],
      batches: oneByOne(
        command('attach', 'd0', { by: 'daemon', waits: false }),
        command('detach', 'd0', { by: 'daemon' }),
      ),
    },
  ),

  inHandlers(
    'whatever comes first in the VM is taken out',
    ['nothing-unasked'],
    (own) => ({
      RemoveDevice: {
        ...own.RemoveDevice,
        do: async (step, context, record) => {
          const inside = [...(await deviceIds(context.vm))].filter((id) => !id.startsWith('rp'));
          return own.RemoveDevice.do({ ...step, id: inside[0] ?? step.id }, context, record);
        },
      },
    }),
    {
      guest: 'linux',
      faultCount: 0,
      batches: oneByOne(
        command('attach', 'd0', { waits: false }),
        command('attach', 'd1', { waits: false }),
        command('detach', 'd1'),
      ),
    },
  ),

  inHandlers(
    'the lock is held while the guest is waited for',
    ['nobody-kept-out'],
    (own) => ({
      AwaitRemoval: {
        ...own.AwaitRemoval,
        do: async (step, context, record) => {
          const endsAt = context.clock.now() + 12_000;
          for (;;) {
            const result = await own.AwaitRemoval.do(step, context, record);
            if (result === undefined || context.clock.now() >= endsAt) return result;
            await new Promise<void>((resolve) => context.clock.after(200, resolve));
          }
        },
      },
    }),
    {
      guest: 'refusing',
      faultCount: 0,
      batches: [
        [command('attach', 'd0', { waits: false })],
        [command('detach', 'd0'), command('status', 'd0', { timeoutMs: 4_000, afterMs: 300 })],
      ],
    },
  ),

  inHandlers('nothing but an event ends the wait', ['ends'], (own) => ({
    AwaitRemoval: {
      ...own.AwaitRemoval,
      wait: ({ ids }, { vm }) =>
        new Promise((resolve) => {
          vm.onEvent(({ data }) => {
            if (ids.some((id) => id === data.device)) resolve();
          });
        }),
    },
  })),

  inHandlers(
    'an undo does not wait for the guest',
    ['true-answer', 'no-phantom', 'host-restored', 'recovers'],
    (own) => ({
      AddDevice: {
        ...own.AddDevice,
        undo: async ({ id }, { vm, removals }) => {
          if ((await presenceOf(vm, id)) === 'present') await removals.ask(id);
        },
      },
    }),
    {
      guest: 'slow',
      hotplug: 'acpi',
      faultCount: 0,
      // Killed after the device went in, while that was written down.
      rules: [{ fault: 'torn-append', at: { operation: 'append', path: /^plans/ }, skip: 1 }],
      batches: oneByOne(
        command('attach', 'd0', { waits: false }),
        command('recover', 'd0', { timeoutMs: 500 }),
      ),
    },
  ),
];
