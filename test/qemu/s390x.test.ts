import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectQmp } from '../../src/qmp/connect.js';
import { deviceAdd } from '../../src/qmp/commands.js';
import { CliHome } from '../cli/run-cli.js';
import { startQemu, type Qemu } from '../support/qemu.js';

const RNG_PCI = '{"driver":"virtio-rng-pci"}';
const RNG_CCW = '{"driver":"virtio-rng-ccw"}';
const MDEV = '/sys/bus/mdev/devices/11111111-2222-3333-4444-555555555555';

let qemu: Qemu;
const home = new CliHome();

beforeAll(async () => {
  qemu = await startQemu({
    binary: 'qemu-system-s390x',
    machine: 's390-ccw-virtio',
    args: ['-device', 'virtio-rng-ccw', '-device', 'virtio-rng-pci,id=cold'],
    paused: true,
  });
});
afterAll(async () => {
  await qemu.kill();
  home[Symbol.dispose]();
});

const attach = (device: string, id: string, ...more: readonly string[]) =>
  home.json(['attach', qemu.qmpPath, '--device', device, '--id', id, ...more]);
const detach = (id: string) => home.json(['detach', qemu.qmpPath, id]);
const kinds = (document: Record<string, unknown>) =>
  (document.steps as readonly { readonly kind: string }[]).map(({ kind }) => kind);

describe('device numbers', () => {
  it('leaves out what a device without a name has taken, and uses a freed one again', async () => {
    const addresses: unknown[] = [];
    for (const id of ['a', 'b']) {
      const { document } = await attach(RNG_CCW, id);
      addresses.push(document.attachment);
    }
    expect(addresses).toMatchObject([
      { functions: [{ addr: 'fe.0.0001', guestPath: '0.0.0001' }] },
      { functions: [{ addr: 'fe.0.0002', guestPath: '0.0.0002' }] },
    ]);
    expect(await detach('a')).toMatchObject({ status: 0 });
    expect((await attach(RNG_CCW, 'c')).document.attachment).toMatchObject({
      functions: [{ port: 'ccw0', addr: 'fe.0.0001' }],
    });
  });

  it('reaches the last number of the last set, and refuses one that is taken', async () => {
    expect(await attach(RNG_CCW, 'last', '--port', 'fe.3.ffff')).toMatchObject({ status: 0 });
    expect(await attach(RNG_CCW, 'again', '--port', 'fe.3.FFFF')).toMatchObject({
      status: 3,
      document: { error: { code: 'PORT_OCCUPIED' } },
    });
    expect(await attach(RNG_CCW, 'last', '--port', 'fe.3.ffff')).toMatchObject({
      status: 0,
      document: { attachment: { already: true } },
    });
  });
});

describe('a zpci whose device did not come', () => {
  it('stays, is never deleted, and is used by the next attach of the same id', async () => {
    const broken = '{"driver":"virtio-net-pci","netdev":"missing"}';
    const failed = await attach(broken, 'net0', '--zpci-uid', '77', '--zpci-fid', '5');
    expect(failed).toMatchObject({ status: 4 });
    const left = (await qemu.qmp.execute('qom-list', { path: '/machine/peripheral' })) as {
      name: string;
    }[];
    expect(left.map(({ name }) => name)).toContain('zpci_net0');

    expect(await detach('zpci_net0')).toMatchObject({
      status: 3,
      document: { error: { code: 'NOT_REMOVABLE' } },
    });
    expect(await attach(RNG_PCI, 'other', '--zpci-uid', '77')).toMatchObject({
      status: 3,
      document: { error: { code: 'ID_TAKEN' } },
    });
    const again = await attach(RNG_PCI, 'net0', '--zpci-uid', '77', '--zpci-fid', '5');
    expect(again).toMatchObject({
      status: 0,
      document: {
        attachment: { functions: [{ guestPath: 'pci004d:00/00', guestBdf: '004d:00:00.0' }] },
      },
    });
    expect(kinds(again.document)).toEqual(['AddDevice']);
    expect(qemu.running).toBe(true);
  });
});

describe('devices of the host', () => {
  it('are refused by QEMU without their hardware, and nothing is left', async () => {
    await using session = await connectQmp(`unix:${qemu.qmpPath}`);
    const ccw = { driver: 'vfio-ccw', id: 'dasd0', sysfsdev: MDEV, devno: 'fe.1.0007' };
    await expect(deviceAdd(session, ccw)).rejects.toThrow(/not found/);
    await expect(
      deviceAdd(session, { driver: 'vfio-ap', id: 'ap0', sysfsdev: MDEV }),
    ).rejects.toThrow(/No 'ap-bus' bus found/);
    const left: unknown = await qemu.qmp.execute('qom-list', { path: '/machine/peripheral' });
    expect(JSON.stringify(left)).not.toMatch(/dasd0|ap0/);
  });
});
