import { describe, expect, it } from 'vitest';
import type { PciBridgeInfo, PciDeviceInfo } from '../../src/qmp/query-pci.js';
import { viewBridge } from '../../src/vm/index.js';

const bridge = (change: Partial<PciBridgeInfo>): PciBridgeInfo => ({
  primaryBus: 0,
  secondaryBus: 1,
  subordinateBus: 1,
  ioRange: { base: 0xf000n, limit: 0xfffn },
  memoryRange: { base: 0xfe00_0000n, limit: 0xfe1f_ffffn },
  prefetchableRange: { base: 0x1_0000_0000n, limit: 0x1_ffff_ffffn },
  devices: [],
  ...change,
});
const AFTER_COLD_START = { base: 0n, limit: 0xf_ffffn };
const AFTER_RESET = { base: 0xfff0_0000n, limit: 0xf_ffffn };

describe('viewBridge', () => {
  it('shows the windows as they are', () => {
    expect(viewBridge(bridge({}))).toMatchObject({
      secondaryBus: { known: true, value: 1 },
      memoryWindow: { known: true, value: { base: 0xfe00_0000n } },
      prefetchableWindow: { known: true, value: { base: 0x1_0000_0000n } },
    });
  });

  it('knows nothing before the buses are numbered', () => {
    expect(viewBridge(bridge({ secondaryBus: 0, devices: undefined }))).toMatchObject({
      secondaryBus: { known: false },
      memoryWindow: { known: false },
      prefetchableWindow: { known: false },
      takenSpans: [],
    });
  });

  it.each([
    ['a cold start', AFTER_COLD_START],
    ['a reset', AFTER_RESET],
  ])('takes registers as %s left them for not set up, never for windows', (_, range) => {
    expect(viewBridge(bridge({ memoryRange: range, prefetchableRange: range }))).toMatchObject({
      secondaryBus: { known: true },
      memoryWindow: { known: false },
      prefetchableWindow: { known: false },
    });
    expect(viewBridge(bridge({ prefetchableRange: range }))).toMatchObject({
      prefetchableWindow: { known: true, value: undefined },
    });
  });

  it('counts what is decoded behind it as taken, but for the devices in question', () => {
    const region = { bar: 0, prefetchable: false, is64bit: false, sizeBytes: 0x1000n };
    const device = (qdevId: string, change: Partial<PciDeviceInfo>): PciDeviceInfo => ({
      ...{ bus: 1, slot: 1, function: 0, classCode: 0xff, vendorId: 0x1b36, deviceId: 5 },
      ...{ subsystemVendorId: undefined, subsystemId: undefined, bridge: undefined },
      regions: [],
      ...change,
      qdevId,
    });
    const devices = [
      device('a', {
        regions: [
          { ...region, kind: 'memory', address: 0xfe00_0000n },
          { ...region, kind: 'memory', address: undefined },
          { ...region, kind: 'io', address: 0x1000n },
        ],
      }),
      device('b', {
        bridge: bridge({
          memoryRange: { base: 0xfe10_0000n, limit: 0xfe1f_ffffn },
          prefetchableRange: { base: 0xfff0_0000n, limit: 0xf_ffffn },
        }),
      }),
    ];
    const a = { base: 0xfe00_0000n, limit: 0xfe00_0fffn };
    const b = { base: 0xfe10_0000n, limit: 0xfe1f_ffffn };
    expect(viewBridge(bridge({ devices })).takenSpans).toEqual([a, b]);
    expect(viewBridge(bridge({ devices }), ['a']).takenSpans).toEqual([b]);
  });

  it('shows base above limit as closed', () => {
    const closed = { base: 0xfff0_0000n, limit: 0xf_ffffn };
    expect(viewBridge(bridge({ memoryRange: closed }))).toMatchObject({
      memoryWindow: { known: true, value: undefined },
    });
  });
});
