import { describe, expect, it } from 'vitest';
import { planBoot, type BootRequest, type Firmware } from '../../src/boot/index.js';
import { known } from '../../src/known.js';
import type { Bar, BarKind } from '../../src/pci/bar.js';
import { openWindow } from '../../src/qmp/query-pci.js';
import { fitBars } from '../../src/pci/window-fit.js';
import { parseSize } from '../../src/pci/size.js';
import { startQemu } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

/**
 * The boot plan against the windows that firmware really makes of it. Each row says what the ports must
 * take; the firmware numbers the buses, and every BAR must fit every port's window.
 */
interface Row {
  readonly ports: number;
  /** `"pref64 16G"`; one list for all ports, or one for each of the first ports. */
  readonly bars: readonly (readonly string[])[];
  readonly memoryMiB?: number;
  readonly physBits?: number;
}

const ROWS: readonly Row[] = [
  { ports: 1, bars: [['pref64 16G']] },
  { ports: 1, bars: [['pref64 64K', 'mem32 64K']] },
  { ports: 4, bars: [['pref64 2M', 'mem32 2M', 'rom 64K']] },
  { ports: 8, bars: [['pref64 16G', 'pref64 32M', 'mem32 16M']] },
  { ports: 3, bars: [['pref64 128G'], ['pref64 64G', 'pref64 256M', 'mem64 1M'], ['mem32 64M']] },
  { ports: 4, bars: [['pref64 64G', 'mem32 16M', 'io 4K'], ['pref64 4M'], []], memoryMiB: 3072 },
  { ports: 8, bars: [['pref64 64K', 'pref64 64K', 'pref64 64K', 'mem64 64K', 'mem32 16K']] },
  { ports: 2, bars: [['pref64 128G', 'pref64 32M', 'mem32 32M']], physBits: 42 },
  { ports: 24, bars: [['mem32 8M', 'pref32 4M']] },
];

function requestOf(
  { ports, bars, memoryMiB = 256, physBits }: Row,
  firmware: Firmware,
): BootRequest {
  const barsPerPort = bars.map((list) =>
    list.map((text, index): Bar => {
      const [kind, size = ''] = text.split(' ');
      return { index, kind: kind as BarKind, sizeBytes: parseSize(size) };
    }),
  );
  const memoryBytes = BigInt(memoryMiB) << 20n;
  return { machine: 'q35', rootPorts: ports, firmware, memoryBytes, physBits, barsPerPort };
}

const title = ({ ports, bars, memoryMiB = 256, physBits = 40 }: Row) =>
  `${ports} ports for ${bars.map((list) => `[${list.join(', ')}]`).join(' ')}, ${memoryMiB} MiB, ${physBits} bits`;

describe.each(['seabios', 'ovmf'] as const)('%s makes windows that hold', (firmware) => {
  it.each(ROWS.map((row) => [title(row), row] as const))('%s', async (_, row) => {
    const request = requestOf(row, firmware);
    const plan = planBoot(request);
    const { memoryMiB = 256, physBits = 40 } = row;
    await using qemu = await startQemu({ args: plan.args, firmware, memoryMiB, physBits });
    const bridges = await waitForNumberedBuses(
      qemu,
      plan.ports.map((port) => port.id),
    );
    const lists = request.barsPerPort ?? [];
    plan.ports.forEach(({ id }, index) => {
      const bars = (lists.length === 1 ? lists[0] : lists[index]) ?? [];
      const bridge = bridges.get(id);
      if (bridge === undefined) throw new Error(`${id} has no windows`);
      const prefetchable = openWindow(bridge.prefetchableRange);
      const windows = {
        memory: known(openWindow(bridge.memoryRange)),
        prefetchable: known(prefetchable),
      };
      expect({ id, fit: fitBars(bars, windows) }).toEqual({ id, fit: { kind: 'fits' } });
      if (prefetchable) expect(prefetchable.limit).toBeLessThan(1n << BigInt(physBits));
    });
  });
});

it('would not get from OVMF what the plan refuses', async () => {
  const wide: BootRequest = {
    machine: 'q35',
    rootPorts: 3,
    firmware: 'ovmf',
    memoryBytes: 256n << 20n,
    physBits: 38,
    barsPerPort: [[{ index: 0, kind: 'pref64', sizeBytes: 64n << 30n }]],
  };
  expect(() => planBoot(wide)).toThrow(expect.objectContaining({ code: 'NO_WINDOW' }));
  const { args, ports } = planBoot({ ...wide, physBits: 40 });
  // The plan of a wider guest, but for the larger 64-bit window that it asks for.
  const forced = args.filter((word) => word !== '-fw_cfg' && !word.includes('X-PciMmio64Mb'));
  await using qemu = await startQemu({
    args: forced,
    firmware: 'ovmf',
    memoryMiB: 256,
    physBits: 40,
  });
  const numbered = waitForNumberedBuses(
    qemu,
    ports.map(({ id }) => id),
    15_000,
  );
  await expect(numbered).rejects.toThrow(/has no bus yet/);
});
