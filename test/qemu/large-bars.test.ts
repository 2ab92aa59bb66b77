import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planBoot } from '../../src/boot/index.js';
import { CliHome } from '../cli/run-cli.js';
import { bootGuest, type Guest } from '../support/qemu.js';

const BYTES = 2 ** 37;
const LARGE = `{"driver":"pci-testdev","membar":${BYTES}}`;
const BAR = { index: 2, kind: 'pref64' as const, sizeBytes: BigInt(BYTES) };

interface Attached {
  readonly attachment: {
    readonly functions: readonly {
      readonly guestBdf: string;
      readonly bars: readonly { readonly bar: number; readonly address: string | null }[];
    }[];
  };
}

/** One port made for a 128 GiB BAR, and one left to the firmware. */
describe.each(['seabios', 'ovmf'] as const)('a 128 GiB BAR, ports for %s', (firmware) => {
  const home = new CliHome();
  let guest: Guest;
  beforeAll(async () => {
    const { args } = planBoot({
      machine: 'q35',
      rootPorts: 2,
      firmware,
      memoryBytes: 512n << 20n,
      barsPerPort: [[BAR], []],
    });
    guest = await bootGuest({ args, firmware, memoryMiB: 512, physBits: 40 });
  });
  afterAll(async () => {
    await guest.kill();
    home[Symbol.dispose]();
  });

  const attach = (id: string, ...more: readonly string[]) =>
    home.json(['attach', guest.qmpPath, '--device', LARGE, '--id', id, ...more]);
  const devices = async () => {
    const entries = (await guest.qmp.execute('qom-list', {
      path: '/machine/peripheral',
    })) as { name: string; type: string }[];
    return entries.filter(({ type }) => type.startsWith('child<')).map(({ name }) => name);
  };

  it('is refused on the port that cannot hold it, with the numbers, and nothing stays behind', async () => {
    const before = await devices();
    const { status, document } = await attach('wrong', '--port', 'rp1');
    expect({ status, document }).toMatchObject({
      status: 3,
      document: {
        error: {
          code: 'NO_WINDOW',
          message: expect.stringMatching(
            /rp1: 128G BAR 2 \(pref64\): the prefetchable window 0x[0-9a-f]+-0x[0-9a-f]+ \(.*\) holds no aligned 128G span/,
          ) as unknown,
          remedy: expect.stringContaining('boot-args --window 128G') as unknown,
          undone: [],
        },
      },
    });
    expect(await devices()).toEqual(before);
  });

  it('is placed by the guest where boot-args made the port, and told with its address', async () => {
    const attaching = attach('large', '--wait', 'placed', '--timeout', '60');
    // No driver of Linux knows the device; enabling it by hand is what a driver's probe would do.
    const isLarge = ({ deviceId }: { deviceId: number }) => deviceId === 0x0005;
    const [device] = (await guest.waitForPci((list) => list.some(isLarge))).filter(isLarge);
    await guest.run(`echo 1 > /sys/bus/pci/devices/${device?.bdf}/enable`);
    const { status, document, stderr } = await attaching;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    // Checked by the expectations on the document's shape.
    const [fn] = (document as unknown as Attached).attachment.functions;
    const address = fn?.bars.find(({ bar }) => bar === 2)?.address;
    expect(fn?.guestBdf).toBe(device?.bdf);
    expect(Number(address) % BYTES).toBe(0);
    expect(device?.resources[2]?.start).toBe(BigInt(address ?? 0));
    const removed = await home.json(['detach', guest.qmpPath, 'large']);
    expect(removed).toMatchObject({ status: 0, document: { removals: [{ state: 'unplugged' }] } });
  });

  it('stays attached where no driver switches it on, with status 5 and every BAR told', async () => {
    const { status, document, stderr } = await attach('idle', '--wait', 'placed', '--timeout', '2');
    expect(status).toBe(5);
    expect(stderr).toContain('the guest has not placed BAR 0 of idle, BAR 2 of idle');
    const [fn] = (document as unknown as Attached).attachment.functions;
    expect(fn?.bars.filter(({ address }) => address === null).map(({ bar }) => bar)).toEqual([
      0, 1, 2,
    ]);
    expect(await devices()).toContain('idle');
    expect(await home.json(['detach', guest.qmpPath, 'idle'])).toMatchObject({ status: 0 });
  });
});
