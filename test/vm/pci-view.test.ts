import { describe, expect, it } from 'vitest';
import type { PciBridgeInfo } from '../../src/qmp/query-pci.js';
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
    const view = viewBridge(bridge({ secondaryBus: 0 }));
    expect(Object.values(view).map((fact: { known: boolean }) => fact.known)).toEqual([
      false,
      false,
      false,
    ]);
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

  it('shows base above limit as closed', () => {
    const closed = { base: 0xfff0_0000n, limit: 0xf_ffffn };
    expect(viewBridge(bridge({ memoryRange: closed }))).toMatchObject({
      memoryWindow: { known: true, value: undefined },
    });
  });
});
