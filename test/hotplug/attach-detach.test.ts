import { expect, it } from 'vitest';
import { recoverHost, type Vm } from '../../src/index.js';
import { rootPorts } from '../../src/simulator/index.js';
import {
  ACCELERATOR,
  ADDRESS,
  createHostWorld,
  environmentOf,
  GPU,
  openSimulatedVm,
  runTask,
} from './simulated.js';

it('puts a device into the VM and takes it back, and the host is as it was', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  const before = world.snapshot();
  const process = world.startController();
  const { attached, detached } = await runTask(world, process, async () => {
    const vm = await openSimulatedVm(process);
    const results = {
      attached: await vm.attach({ device: ACCELERATOR }),
      detached: await vm.detach(ACCELERATOR),
    };
    await vm.close();
    return results;
  });
  expect(attached).toMatchObject({
    attachment: { group: 5, functions: [{ id: 'vfio_device_5_0', port: 'rp0' }] },
  });
  expect(detached).toMatchObject({ removals: [{ id: 'vfio_device_5_0', state: 'released' }] });
  expect(world.snapshot()).toBe(before);
});

it('takes both functions of a GPU, and waits until the guest has placed their BARs', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  const before = world.snapshot();
  const process = world.startController();
  const { attached, detached } = await runTask(world, process, async () => {
    const vm = await openSimulatedVm(process);
    const attached = await vm.attach({ device: GPU, members: 'slot', wait: 'placed' });
    const detached = await vm.detach(GPU);
    await vm.close();
    return { attached, detached };
  });
  expect(attached.pending).toBeUndefined();
  expect(attached.attachment.functions.flatMap((fn) => fn.bars)).not.toContainEqual(
    expect.objectContaining({ address: undefined }),
  );
  expect(detached.removals).toHaveLength(2);
  expect(world.snapshot()).toBe(before);
});

it('takes what a VM that has ended still has on record, without being told to recover', async () => {
  const ports = rootPorts(1, { properties: { 'pref64-reserve': 8n << 30n } });
  const second = 'unix:/run/second.sock';
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  world.startVm({ name: 'second', monitors: [second], devices: ports });
  const attachTo = (address: string) => {
    const process = world.startController();
    return runTask(world, process, async () => {
      const vm = await openSimulatedVm(process, address);
      try {
        return await vm.attach({ device: ACCELERATOR });
      } finally {
        await vm.close();
      }
    });
  };
  await attachTo(ADDRESS);
  await expect(attachTo(second)).rejects.toMatchObject({ code: 'CONFLICT' });
  world.vm().kill();
  expect(await attachTo(second)).toMatchObject({ attachment: { already: false } });
});

it('recovers a removal that the guest still works on, by waiting for it', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' }, hotplug: 'native' });
  const before = world.snapshot();
  const run = <T>(work: (vm: Vm) => Promise<T>) => {
    const process = world.startController();
    return runTask(world, process, async () => {
      const vm = await openSimulatedVm(process);
      const result = await work(vm);
      await vm.close();
      return result;
    });
  };
  await run((vm) => vm.attach({ device: ACCELERATOR, wait: 'placed' }));
  await run((vm) => vm.detach(ACCELERATOR, { wait: false }));
  const { open } = await run((vm) => vm.recover({ timeoutMs: 0 }));
  expect(open).toMatchObject([{ kind: 'detach', outcome: 'waiting' }]);
  expect(await run((vm) => vm.recover())).toMatchObject({
    finished: [{ kind: 'detach', ids: ['vfio_device_5_0'] }],
    open: [],
  });
  expect(world.snapshot()).toBe(before);
});

it('answers what was done, even where the lock cannot be removed', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  world.faults.add({
    fault: 'store-fails',
    at: { operation: 'remove', path: /^locks\// },
    times: 9,
  });
  const process = world.startController();
  const { attachment } = await runTask(world, process, async () => {
    const vm = await openSimulatedVm(process);
    return vm.attach({ device: ACCELERATOR });
  });
  expect(attachment).toMatchObject({ functions: [{ id: 'vfio_device_5_0' }] });
});

it('removes what killed processes have left of their locks', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'linux' } });
  const killed = world.startController();
  await world.run(
    killed.run(async () => {
      const vm = await openSimulatedVm(killed, ADDRESS, () => {
        killed.kill();
      });
      return vm.attach({ id: 'd0', emulate: { driver: 'pci-testdev' } });
    }),
  );
  const locks = () => world.store.contents.filter(([name]) => name.startsWith('locks/'));
  expect(locks()).toHaveLength(1);
  world.vm().kill();
  const process = world.startController();
  await runTask(world, process, () => recoverHost(environmentOf(process)));
  expect(locks()).toEqual([]);
});
