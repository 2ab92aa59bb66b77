import { describe, expect, it } from 'vitest';
import { LastLook } from '../../src/hotplug/last-look.js';
import type { VmLink } from '../../src/hotplug/vm-link.js';
import type { AddDevice } from '../../src/plan/steps.js';
import { openSession } from '../../src/qmp/connect.js';
import type { QmpSession } from '../../src/qmp/session.js';
import { identifyVm, vmKeyOf } from '../../src/vm/identity.js';
import { ADDRESS, createHostWorld, openSimulatedVm, runTask, SECOND_ADDRESS } from './simulated.js';

interface Stage {
  readonly look: LastLook;
  /** Another client's session. */
  readonly other: QmpSession;
  /** How many commands the looks cost since the last call. */
  readonly countCommands: () => number;
  /** Ends the session; the next look opens another. */
  readonly reconnect: () => Promise<void>;
}

const LISTINGS = 2;

/** Runs a test on a simulated VM with three ports, of which there has been one look. */
async function onStage(act: (stage: Stage) => Promise<void>): Promise<void> {
  const world = createHostWorld({ seed: 1, guest: { kind: 'none' }, hotplug: 'native' });
  const process = world.startController();
  await runTask(world, process, async () => {
    const identity = await identifyVm(ADDRESS, process.effects);
    const connect = async (address: string) =>
      openSession(await process.connect(address), { clock: process.clock });
    let commands = 0;
    const listeners = new Set<Parameters<VmLink['onEvent']>[0]>();
    const counted = async (): Promise<QmpSession> => {
      const session = await connect(ADDRESS);
      session.onEvent((event) => listeners.forEach((listener) => listener(event)));
      const execute: QmpSession['execute'] = (...call) => {
        commands += 1;
        return session.execute(...call);
      };
      return new Proxy(session, {
        get: (target, name) => {
          const value: unknown = name === 'execute' ? execute : Reflect.get(target, name, target);
          return typeof value === 'function' && name !== 'execute'
            ? (value.bind(target) as unknown)
            : value;
        },
      });
    };
    let session = await counted();
    const link: VmLink = {
      address: ADDRESS,
      identity,
      key: vmKeyOf(identity),
      session: () => Promise.resolve(session),
      isGone: () => Promise.resolve(false),
      onEvent: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: () => session.close(),
    };
    const look = new LastLook(link);
    const other = await connect(SECOND_ADDRESS);
    await look.renew();
    commands = 0;
    await act({
      look,
      other,
      countCommands: () => {
        const count = commands;
        commands = 0;
        return count;
      },
      reconnect: async () => {
        await session.close();
        session = await counted();
      },
    });
    await other.close();
    await session.close();
  });
}

const RNG = { driver: 'virtio-rng-pci', addr: '0x0' };

const added = (id: string, port: string): AddDevice => ({
  kind: 'AddDevice',
  id,
  driver: RNG.driver,
  host: undefined,
  port,
  bus: port,
  busPath: `/machine/peripheral/${port}/${port}`,
  addr: '0x0',
  devfn: 0,
  properties: {},
  deadlineMs: 1_000,
});

const occupants = async (look: LastLook) => {
  const { vm, fresh } = await look.confirm();
  return { fresh, ports: Object.fromEntries(vm.ports.map((port) => [port.id, port.occupants])) };
};

describe('the last look at a VM', () => {
  it('is confirmed by two listings', () =>
    onStage(async ({ look, countCommands }) => {
      expect(await occupants(look)).toMatchObject({ fresh: false, ports: { rp0: [] } });
      expect(countCommands()).toBe(LISTINGS);
    }));

  it('takes over what was added and verified, and drops what left', () =>
    onStage(async ({ look, other, countCommands }) => {
      await other.execute('device_add', { ...RNG, id: 'mine', bus: 'rp1' });
      look.add([added('mine', 'rp1')]);
      const path = '/machine/peripheral/mine';
      expect(await occupants(look)).toMatchObject({ fresh: false, ports: { rp1: [path] } });
      await other.execute('device_del', { id: 'mine' });
      expect(await occupants(look)).toMatchObject({ fresh: false, ports: { rp1: [] } });
      expect(countCommands()).toBe(2 * LISTINGS);
    }));

  it('is made anew once another client has added a device', () =>
    onStage(async ({ look, other }) => {
      await other.execute('device_add', { ...RNG, id: 'theirs', bus: 'rp2' });
      const path = '/machine/peripheral/theirs';
      expect(await occupants(look)).toMatchObject({ fresh: true, ports: { rp2: [path] } });
    }));

  it('is made anew when a device was replaced by a namesake elsewhere', () =>
    onStage(async ({ look, other }) => {
      await other.execute('device_add', { ...RNG, id: 'x', bus: 'rp0' });
      await look.renew();
      const deleted = new Promise((resolve) => other.onEvent(resolve));
      await other.execute('device_del', { id: 'x' });
      await other.execute('device_add', { ...RNG, id: 'x', bus: 'rp2' });
      await deleted;
      const path = '/machine/peripheral/x';
      expect(await occupants(look)).toMatchObject({ ports: { rp0: [], rp2: [path] } });
    }));

  it('is made anew after a reset, which may move the windows', () =>
    onStage(async ({ look, other }) => {
      await other.execute('system_reset');
      expect(await occupants(look)).toMatchObject({ fresh: true });
      expect(await occupants(look)).toMatchObject({ fresh: false });
    }));

  it('is made anew in a new session, before which events may have been missed', () =>
    onStage(async ({ look, reconnect }) => {
      await reconnect();
      expect(await occupants(look)).toMatchObject({ fresh: true });
    }));
});

it('leads to no failure where it was out of date without a sign', async () => {
  const world = createHostWorld({ seed: 1, guest: { kind: 'none' }, hotplug: 'native' });
  const process = world.startController();
  const attachment = await runTask(world, process, async () => {
    const vm = await openSimulatedVm(process);
    const transport = await process.connect(SECOND_ADDRESS);
    const other = await openSession(transport, { clock: process.clock });
    await other.execute('device_add', { ...RNG, id: 'x', bus: 'rp0' });
    await vm.attach({ id: 'first', emulate: { driver: RNG.driver } });
    // The same listing as before, and QEMU tells of the first one's end only later.
    await other.execute('device_del', { id: 'x' });
    await other.execute('device_add', { ...RNG, id: 'x', bus: 'rp2' });
    const result = await vm.attach({ id: 'second', port: 'rp0', emulate: { driver: RNG.driver } });
    await other.close();
    await vm.close();
    return result.attachment;
  });
  expect(attachment.functions).toMatchObject([{ id: 'second', port: 'rp0' }]);
});
