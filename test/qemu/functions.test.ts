import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootGuest, rootPort } from '../support/qemu.js';
import { GuestBench, type AttachedDevice } from './guest-bench.js';

const PORTS = [rootPort('rp0', 2), rootPort('rp1', 3)].flat();
const FUNCTIONS = [{ driver: 'pci-testdev' }, { driver: 'virtio-rng-pci' }, { driver: 'edu' }];
const IDS = ['d0', 'd0.1', 'd0.2'];
/** Vendor and device id of each, as the guest must read them. */
const IDENTITIES = ['1b36:0005', '1af4:1044', '1234:11e8'];

/** Functions of one slot, on a real QEMU with a Linux guest. */
describe.each(['acpi', 'native'] as const)('%s hot-plug', (hotplug) => {
  let bench: GuestBench;
  beforeAll(async () => {
    bench = new GuestBench(await bootGuest({ hotplug, args: PORTS }));
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const attach = (devices: readonly object[], ...more: readonly string[]) =>
    bench.home.json([
      ...['attach', bench.vm, '--device', JSON.stringify(devices), '--id', 'd0'],
      ...['--timeout', '60', ...more],
    ]);
  /** What the guest has behind the ports: function by function, `0.0 1b36:0005`. */
  const inGuest = () =>
    bench.guest
      .pciDevices()
      .filter(({ bdf }) => !bdf.startsWith('0000:00:'))
      .map(({ bdf, vendorId, deviceId }) => {
        const hex = (value: number) => value.toString(16).padStart(4, '0');
        return `${bdf.slice(-3)} ${hex(vendorId)}:${hex(deviceId)}`;
      })
      .sort();
  const guestHas = (count: number) => bench.guest.waitForPci(() => inGuest().length === count);
  const portStates = async () => {
    const { document } = await bench.home.json(['status', bench.vm]);
    const ports = document.ports as readonly { id: string; state: string; occupants: string[] }[];
    return ports.map(({ id, state, occupants }) => [id, state, ...occupants.sort()].join(' '));
  };

  it('gives the guest all functions at once, and any one of them takes all back', async () => {
    const attached = await attach(FUNCTIONS);
    expect(attached).toMatchObject({ status: 0, stderr: '' });
    const { functions } = attached.document.attachment as {
      readonly functions: readonly AttachedDevice[];
    };
    expect(functions.map(({ id, port, addr }) => `${id} ${port} ${addr}`)).toEqual([
      ...['d0.1 rp0 0x0.1', 'd0.2 rp0 0x0.2', 'd0 rp0 0x0'],
    ]);
    await guestHas(3);
    expect(inGuest()).toEqual(IDENTITIES.map((identity, fn) => `0.${fn} ${identity}`));
    expect(await portStates()).toEqual(['rp0 used d0 d0.1 d0.2', 'rp1 free']);
    expect((await attach(FUNCTIONS)).document).toMatchObject({ attachment: { already: true } });

    const planned = await bench.home.json(['detach', bench.vm, 'd0.2', '--dry-run']);
    expect(statesIn(planned.document)).toEqual(IDS.map((id) => `${id} planned`));
    const detached = await bench.home.json(['detach', bench.vm, 'd0.2', '--timeout', '60']);
    expect(detached.status).toBe(0);
    expect(statesIn(detached.document)).toEqual(IDS.map((id) => `${id} unplugged`));
    await guestHas(0);
    expect(await portStates()).toEqual(['rp0 free', 'rp1 free']);
  });

  it('takes the others back where function 0 does not come', async () => {
    const [, ...others] = FUNCTIONS;
    // An nvme without a serial number is made and refused by QEMU itself.
    const failed = await attach([{ driver: 'nvme' }, ...others]);
    expect(failed).toMatchObject({
      status: 4,
      document: { error: { code: 'STEP_FAILED', undone: expect.any(Array) as unknown } },
    });
    expect(await portStates()).toEqual(['rp0 free', 'rp1 free']);
    expect(inGuest()).toEqual([]);
  });

  it('shows the guest nothing of a slot whose function 0 another client took', async () => {
    await bench.guest.qmp.execute('device_add', {
      ...{ driver: 'pci-testdev', id: 'theirs', bus: 'rp0', addr: '0x0.1' },
    });
    const refused = await attach(FUNCTIONS, '--port', 'rp0');
    expect(refused).toMatchObject({ status: 3, document: { error: { code: 'PORT_OCCUPIED' } } });
    expect(await portStates()).toEqual(['rp0 used theirs', 'rp1 free']);
    expect(inGuest()).toEqual([]);
    await bench.detach('theirs');
    expect(await portStates()).toEqual(['rp0 free', 'rp1 free']);
  });

  it('fills a slot with eight', async () => {
    const eight = Array.from({ length: 8 }, () => ({ driver: 'virtio-rng-pci' }));
    expect(await attach(eight)).toMatchObject({ status: 0, stderr: '' });
    await guestHas(8);
    expect(inGuest()).toEqual(Array.from({ length: 8 }, (_, fn) => `0.${fn} 1af4:1044`));
    const { status, document } = await bench.home.json([
      ...['detach', bench.vm, 'd0', '--timeout', '60'],
    ]);
    expect(status).toBe(0);
    expect(statesIn(document)).toHaveLength(8);
    await guestHas(0);
  });
});

function statesIn(document: Readonly<Record<string, unknown>>): readonly string[] {
  const removals = document.removals as readonly { readonly id: string; readonly state: string }[];
  return removals.map(({ id, state }) => `${id} ${state}`).sort();
}
