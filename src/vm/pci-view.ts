import { known, unknown, type Known } from '../known.js';
import type { Window } from '../pci/bar.js';
import {
  openWindow,
  type PciBridgeInfo,
  type PciBusInfo,
  type PciDeviceInfo,
} from '../qmp/query-pci.js';

/** What a bridge forwards in the guest right now. */
export interface BridgeView {
  /** Number of the bus behind the bridge. */
  readonly secondaryBus: Known<number>;
  /** Undefined is a closed window. */
  readonly memoryWindow: Known<Window | undefined>;
  readonly prefetchableWindow: Known<Window | undefined>;
  /** What the devices behind the bridge have of its windows, as far as the guest has placed them. */
  readonly takenSpans: readonly Window[];
}

/** Why nothing is known of a bridge whose secondary bus number is still 0. */
export const NOT_NUMBERED = 'the firmware or the guest has not numbered the buses yet';

/** Why nothing is known of windows between the numbering of the buses and their own set-up. */
export const NOT_SET_UP = 'the firmware or the guest has not set up the windows yet';

/**
 * Every function that `query-pci` shows. Devices behind a bridge are among them only once that bridge
 * has its bus number: nothing is to be counted here.
 */
export function flattenPciTree(buses: readonly PciBusInfo[]): readonly PciDeviceInfo[] {
  const functions: PciDeviceInfo[] = [];
  const levels = buses.map(({ devices }) => devices);
  for (let devices = levels.pop(); devices !== undefined; devices = levels.pop()) {
    for (const device of devices) {
      functions.push(device);
      if (device.bridge?.devices) levels.push(device.bridge.devices);
    }
  }
  return functions;
}

/**
 * The bridge as the guest has it; before the buses are numbered its registers mean nothing.
 *
 * @param but ids of devices whose spans do not count as taken.
 */
export function viewBridge(bridge: PciBridgeInfo, but: readonly string[] = []): BridgeView {
  const { secondaryBus, memoryRange, prefetchableRange } = bridge;
  const others = (bridge.devices ?? []).filter(({ qdevId }) => !but.includes(qdevId ?? ''));
  const takenSpans = others.flatMap(spansOf);
  if (secondaryBus === 0) {
    const notYet = unknown(NOT_NUMBERED);
    return { secondaryBus: notYet, memoryWindow: notYet, prefetchableWindow: notYet, takenSpans };
  }
  if (isAsReset(memoryRange) && isAsReset(prefetchableRange)) {
    const notYet = unknown(NOT_SET_UP);
    return {
      secondaryBus: known(secondaryBus),
      memoryWindow: notYet,
      prefetchableWindow: notYet,
      takenSpans,
    };
  }
  const windowOf = (range: Window) => (range.base === 0n ? undefined : openWindow(range));
  return {
    secondaryBus: known(secondaryBus),
    memoryWindow: known(windowOf(memoryRange)),
    prefetchableWindow: known(windowOf(prefetchableRange)),
    takenSpans,
  };
}

/**
 * Both windows come out of a cold start at 0, where none ever is, as RAM begins there, and out of a reset closed
 * (QEMU hw/pci/pci_bridge.c, pci_bridge_disable_base_limit, 7.2). Firmware numbers the buses some time
 * before it opens the windows. A port whose firmware found room for neither reads the same.
 */
function isAsReset({ base, limit }: Window): boolean {
  return base === 0n || (base === CLOSED_BY_RESET.base && limit === CLOSED_BY_RESET.limit);
}

const CLOSED_BY_RESET: Window = { base: 0xfff0_0000n, limit: 0xf_ffffn };

/** What a function decodes of the memory space: its regions, and of a bridge the windows too. */
function spansOf({ regions, bridge }: PciDeviceInfo): readonly Window[] {
  const own = regions.flatMap(({ kind, address, sizeBytes }) =>
    kind === 'memory' && address !== undefined
      ? [{ base: address, limit: address + sizeBytes - 1n }]
      : [],
  );
  if (bridge === undefined) return own;
  const windows = [bridge.memoryRange, bridge.prefetchableRange].filter(({ base }) => base !== 0n);
  return [...own, ...windows.flatMap((range) => openWindow(range) ?? [])];
}
