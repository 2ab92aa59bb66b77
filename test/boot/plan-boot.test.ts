import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planBoot, type BootRequest } from '../../src/boot/index.js';
import { QmplugError } from '../../src/errors.js';
import { known } from '../../src/known.js';
import type { Bar, BarKind } from '../../src/pci/bar.js';
import { fitBars } from '../../src/pci/window-fit.js';

const GIB = 1n << 30n;
const anyKind = fc.constantFrom<BarKind>('io', 'mem32', 'mem64', 'pref32', 'pref64', 'rom');
const anyBar: fc.Arbitrary<Bar> = fc.record({
  index: fc.nat(6),
  kind: anyKind,
  sizeBytes: fc.integer({ min: 4, max: 37 }).map((exponent) => 1n << BigInt(exponent)),
});
/** BARs that must lie below 4 GiB are small in this world, so that most requests are planned. */
const plausibleBar = anyBar.map((bar) =>
  bar.kind === 'pref64' ? bar : { ...bar, sizeBytes: 1n << (BigInt(bar.index) + 16n) },
);
const anyRequest: fc.Arbitrary<BootRequest> = fc.record({
  machine: fc.constantFrom('q35', 'pc-q35-7.2'),
  rootPorts: fc.integer({ min: 1, max: 192 }),
  firstDevice: fc.option(fc.integer({ min: 1, max: 7 }), { nil: undefined }),
  firmware: fc.constantFrom('seabios', 'ovmf'),
  memoryBytes: fc.bigInt(GIB / 4n, 64n * GIB),
  physBits: fc.constantFrom(undefined, 46, 52),
  windowBytes: fc.option(fc.bigInt(0n, 64n * GIB), { nil: undefined }),
  barsPerPort: fc.option(fc.array(fc.array(plausibleBar, { maxLength: 6 }), { maxLength: 1 }), {
    nil: undefined,
  }),
});

function planned(request: BootRequest) {
  try {
    return planBoot(request);
  } catch (error) {
    if (error instanceof QmplugError && error.code === 'NO_WINDOW') return undefined;
    throw error;
  }
}

describe('every plan', () => {
  it('has unique ids, addresses and slot numbers, all within their range', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const plan = planned(request);
        fc.pre(plan !== undefined);
        const { ports } = plan;
        expect(ports).toHaveLength(request.rootPorts);
        for (const key of ['id', 'addr'] as const) {
          expect(new Set(ports.map((port) => port[key])).size).toBe(ports.length);
        }
        expect(new Set(ports.map((port) => `${port.chassis}/${port.slot}`)).size).toBe(
          ports.length,
        );
        for (const { chassis, slot, addr, bus } of ports) {
          expect(Math.max(chassis ?? 256, slot ?? 256)).toBeLessThanOrEqual(255);
          const [device = '', fn = ''] = addr.slice(2).split('.');
          expect(parseInt(device, 16)).toBeGreaterThanOrEqual(1);
          expect(parseInt(device, 16)).toBeLessThanOrEqual(0x1e);
          expect(fn).toMatch(/^[0-7]$/);
          expect(bus).toBe('pcie.0');
        }
      }),
    );
  });

  it('gives function 0 of each device multifunction=on, and nobody else', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const plan = planned(request);
        fc.pre(plan !== undefined);
        for (const arg of plan.args.filter((word) => word.startsWith('pcie-root-port'))) {
          expect(arg.includes('multifunction=on')).toBe(/addr=0x[0-9a-f]+\.0,/.test(arg));
          expect(arg).toContain('io-reserve=0');
        }
      }),
    );
  });

  it('reserves windows in which the BARs fit wherever the firmware may put them', () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(1 << 20), (request, place) => {
        const plan = planned(request);
        fc.pre(plan !== undefined);
        plan.ports.forEach(({ window }, index) => {
          const lists = request.barsPerPort ?? [];
          const bars = (lists.length === 1 ? lists[0] : lists[index]) ?? [];
          const at = (bytes: bigint | undefined) => {
            if (bytes === undefined) return known(undefined);
            const unit = request.firmware === 'ovmf' ? bytes : 1n << 21n;
            const base = BigInt(place) * unit;
            return known({ base, limit: base + bytes - 1n });
          };
          const windows = {
            prefetchable: at(window.prefetchableBytes),
            memory: at(window.memoryBytes),
          };
          expect(fitBars(bars, windows).kind).toBe('fits');
        });
      }),
    );
  });

  it('keeps all windows inside the address space', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const plan = planned(request);
        fc.pre(plan !== undefined);
        const sum = plan.ports.reduce((total, p) => total + (p.window.prefetchableBytes ?? 0n), 0n);
        expect(sum).toBeLessThan(1n << BigInt(request.physBits ?? 40));
      }),
    );
  });
});

describe('planBoot', () => {
  const request: BootRequest = {
    machine: 'q35',
    rootPorts: 8,
    firmware: 'seabios',
    memoryBytes: 2n * GIB,
  };

  it.each([
    [{ rootPorts: 0 }, /1 to 192; got 0/],
    [{ rootPorts: 1.5 }, /got 1.5/],
    [{ rootPorts: 193 }, /limit is 192/],
    [{ rootPorts: 241, portLimit: 240 }, /room for 240/],
    [{ rootPorts: 100_000 }, /room for 240/],
    [{ rootPorts: 8, portLimit: 241 }, /port limit must be 1 to 240/],
    [{ firstDevice: 0 }, /first device must be 1 to 30/],
    [{ rootPorts: 17, firstDevice: 29 }, /need 3 devices/],
    [{ physBits: 31 }, /32 to 52/],
    [{ memoryBytes: 0n }, /RAM/],
    [{ windowBytes: -1n }, /window/],
    [{ mmio64Bytes: GIB }, /Only OVMF/],
    [{ firmware: 'ovmf', mmio64Bytes: GIB + 1n }, /whole MiB/],
    [{ rootPorts: 1, barsPerPort: [[], []] }, /BARs are given for 2 ports/],
  ] satisfies [Partial<BootRequest>, RegExp][])('refuses %o', (change, message) => {
    const bad = () => planBoot({ ...request, ...change });
    expect(bad).toThrow(message);
    expect(bad).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT', remedy: expect.any(String) as string }),
    );
  });

  it.each(['isapc', 'microvm', 'q35-7.2', 'q35,accel=tcg', ''])('refuses machine %j', (machine) => {
    expect(() => planBoot({ ...request, machine })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_MACHINE' }),
    );
  });

  it('uses device 1 only when the ports do not fit above it', () => {
    const first = (rootPorts: number) =>
      planBoot({ ...request, rootPorts, portLimit: 240 }).ports[0]?.addr;
    expect(first(232)).toBe('0x2.0');
    expect(first(233)).toBe('0x1.0');
    expect(first(240)).toBe('0x1.0');
  });

  it('counts memory that may be hot-plugged as RAM', () => {
    const wide = { ...request, windowBytes: 32n * GIB };
    expect(planBoot(wide).ports).toHaveLength(8);
    expect(() => planBoot({ ...wide, hotplugMemoryBytes: 512n * GIB })).toThrow(/end of RAM/);
  });
});
