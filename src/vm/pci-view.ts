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
}

/** Why nothing is known of a bridge whose secondary bus number is still 0. */
export const NOT_NUMBERED = 'the firmware or the guest has not numbered the buses yet';

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

/** The bridge as the guest has it; before the buses are numbered its registers mean nothing. */
export function viewBridge(bridge: PciBridgeInfo): BridgeView {
  const { secondaryBus, memoryRange, prefetchableRange } = bridge;
  if (secondaryBus === 0) {
    const notYet = unknown(NOT_NUMBERED);
    return { secondaryBus: notYet, memoryWindow: notYet, prefetchableWindow: notYet };
  }
  return {
    secondaryBus: known(secondaryBus),
    memoryWindow: known(openWindow(memoryRange)),
    prefetchableWindow: known(openWindow(prefetchableRange)),
  };
}
