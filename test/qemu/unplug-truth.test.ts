import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createEnvironment, openVm, type Departure, type Vm } from '../../src/index.js';
import { bootGuest, rootPort, startQemu, type Guest } from '../support/qemu.js';

const RNG = { driver: 'virtio-rng-pci' };
const UNPLUGGED = { removals: [{ id: 'd0', state: 'unplugged' }], pending: undefined };
const PATIENCE = { timeoutMs: 90_000 };

/** What the tracker does about a removal, on a real QEMU with a Linux guest. */
describe.each(['acpi', 'native'] as const)('%s hot-plug', (hotplug) => {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-'));
  const environment = createEnvironment({ stateDir: directory, runDir: directory });
  let guest: Guest;
  let vm: Vm;
  beforeAll(async () => {
    const args = [rootPort('rp0', 2), rootPort('rp1', 3)].flat();
    guest = await bootGuest({ hotplug, args });
    vm = await openVm(guest.qmpPath, { environment });
  });
  afterAll(async () => {
    await vm.close();
    await guest.kill();
    rmSync(directory, { recursive: true });
  });

  const attach = (port = 'rp0') => vm.attach({ emulate: RNG, id: 'd0', port }, PATIENCE);
  const isThere = (list: readonly { deviceId: number }[]) =>
    list.some(({ deviceId }) => deviceId === 0x1044);
  const attachAndSee = async () => {
    // What the guest listed before the last removal is not what it lists now.
    await guest.waitForPci((list) => !isThere(list));
    await attach();
    await guest.waitForPci(isThere);
  };

  it('shows the mechanism of each port', async () => {
    const { ports } = await vm.status();
    expect(ports.map(({ mechanism }) => mechanism)).toEqual([hotplug, hotplug]);
  });

  // In a port of its own: a loaded guest was once seen to miss whatever came into that slot afterwards.
  it('takes out what was attached the moment before', async () => {
    await attach('rp1');
    expect(await vm.detach('d0', PATIENCE)).toMatchObject(UNPLUGGED);
  });

  it('joins a removal that another client waits for', async () => {
    await attachAndSee();
    const other = await openVm(guest.otherQmpPath, { environment });
    const both = await Promise.all([vm.detach('d0', PATIENCE), other.detach('d0', PATIENCE)]);
    await other.close();
    for (const { removals } of both) expect(removals).toMatchObject([{ id: 'd0' }]);
    expect((await vm.inspect()).removals).toEqual([]);
    expect((await vm.inspect()).ports[0]).toMatchObject({ state: 'free' });
  });

  it('says that the VM is paused, and finishes once it runs', async () => {
    await attachAndSee();
    await guest.qmp.execute('stop');
    const paused = await vm.detach('d0', { timeoutMs: 1_500 });
    expect(paused).toMatchObject({ removals: [{ id: 'd0', state: 'pending' }] });
    expect(paused.pending).toContain('the VM is paused');
    await guest.qmp.execute('cont');
    expect(await vm.detach('d0', PATIENCE)).toMatchObject(UNPLUGGED);
  });

  it('gives back at once what the guest switches off by itself, and tells', async () => {
    await attachAndSee();
    const departed = new Promise<Departure>((resolve) => vm.onDeparture(resolve));
    // Linux lists a device before it says that its slot has power (drivers/pci/hotplug/acpiphp_glue.c, 6.1).
    const off =
      'for s in /sys/bus/pci/slots/*; do [ "$(cat $s/power)" = 1 ] && echo 0 > $s/power && exit 0; done; exit 1';
    const switchOff = async () => (await guest.run(off)).status;
    await expect.poll(switchOff, { timeout: 20_000, interval: 100 }).toBe(0);
    expect(await departed).toMatchObject({ ids: ['d0'], state: 'unplugged' });
    const { ports, attachments } = await vm.inspect();
    expect(attachments).toEqual([]);
    expect(ports[0]).toMatchObject({ state: 'free' });
  });

  it('gets over a reset of the VM in the middle of it', async () => {
    await attachAndSee();
    if (hotplug === 'acpi') await guest.qmp.execute('stop');
    const detaching = vm.detach('d0', PATIENCE);
    const asked = async () => (await vm.inspect()).ports[0]?.state === 'pending';
    await expect.poll(asked, { timeout: 10_000, interval: 20 }).toBe(true);
    await guest.qmp.execute('system_reset');
    if (hotplug === 'acpi') await guest.qmp.execute('cont');
    expect(await detaching).toMatchObject(UNPLUGGED);
  });
});

it('waits until a migration is over, and adds nothing meanwhile', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-'));
  onTestFinished(() => {
    rmSync(directory, { recursive: true });
  });
  const environment = createEnvironment({ stateDir: directory, runDir: directory });
  const args = [rootPort('rp0', 2), rootPort('rp1', 3)].flat();
  await using qemu = await startQemu({ hotplug: 'native', args });
  await using vm = await openVm(qemu.qmpPath, { environment });
  await vm.attach({ emulate: RNG, id: 'd0' });
  await qemu.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 4_096 });
  await qemu.qmp.execute('migrate', { uri: 'exec:cat >/dev/null' });
  const migration = async () =>
    ((await qemu.qmp.execute('query-migrate')) as { readonly status: string }).status;
  await expect.poll(migration, { timeout: 10_000, interval: 20 }).toBe('active');

  await expect(vm.attach({ emulate: RNG, id: 'd1' })).rejects.toMatchObject({
    message: expect.stringContaining('device_add not allowed while migrating') as unknown,
    remedy: expect.stringContaining('migration') as unknown,
  });
  const detached = await vm.detach('d0', { timeoutMs: 1_000 });
  expect(detached).toMatchObject({ removals: [{ id: 'd0', state: 'pending' }] });
  expect(detached.pending).toContain('device_del not allowed while migrating');
  const waiting = vm.detach('d0', PATIENCE);
  await qemu.qmp.execute('migrate_cancel');
  expect(await waiting).toMatchObject(UNPLUGGED);
  const { ports, attachments } = await vm.inspect();
  expect({ ports: ports.map(({ state }) => state), attachments }).toEqual({
    ports: ['free', 'free'],
    attachments: [],
  });
});
