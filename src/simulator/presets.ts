import type { FunctionConfig } from './host/config.js';

/**
 * Functions that simulated hosts are made of, with the identities and BARs of real ones where those
 * are known.
 */

const MIB = 1n << 20n;
const GIB = 1n << 30n;

export interface PresetOptions {
  readonly bdf: string;
  readonly group: number;
  readonly driver?: string | null;
  readonly numaNode?: number;
  readonly parent?: string;
}

/** A data-centre GPU with a 32 GiB prefetchable BAR. */
export function gpuFunction(options: PresetOptions): FunctionConfig {
  return {
    vendorId: 0x10de,
    deviceId: 0x2330,
    subsystemVendorId: 0x10de,
    subsystemDeviceId: 0x16c1,
    classCode: 0x030200,
    revision: 0xa1,
    nativeDriver: 'nvidia',
    bars: [
      { index: 0, kind: 'mem32', sizeBytes: 16n * MIB },
      { index: 1, kind: 'pref64', sizeBytes: 32n * GIB },
      { index: 3, kind: 'pref64', sizeBytes: 32n * MIB },
    ],
    resetMethods: ['flr', 'bus'],
    ...options,
  };
}

/** The audio function beside a display GPU. */
export function audioFunction(options: PresetOptions): FunctionConfig {
  return {
    vendorId: 0x10de,
    deviceId: 0x22ba,
    classCode: 0x040300,
    nativeDriver: 'snd_hda_intel',
    bars: [{ index: 0, kind: 'mem32', sizeBytes: 16n * 1024n }],
    ...options,
  };
}

/** An Ethernet controller with one interface. */
export function nicFunction(options: PresetOptions & { readonly netdev?: string }): FunctionConfig {
  const { netdev = 'eth0', ...rest } = options;
  return {
    vendorId: 0x8086,
    deviceId: 0x10d3,
    classCode: 0x020000,
    nativeDriver: 'e1000e',
    netdevs: [netdev],
    bars: [
      { index: 0, kind: 'mem32', sizeBytes: 128n * 1024n },
      { index: 1, kind: 'mem32', sizeBytes: 128n * 1024n },
      { index: 2, kind: 'io', sizeBytes: 32n },
      { index: 3, kind: 'mem32', sizeBytes: 16n * 1024n },
    ],
    resetMethods: ['pm', 'bus'],
    ...rest,
  };
}

/** An NVMe controller with one namespace. */
export function nvmeFunction(options: PresetOptions & { readonly disk?: string }): FunctionConfig {
  const { disk = 'nvme0n1', ...rest } = options;
  return {
    vendorId: 0x1b36,
    deviceId: 0x0010,
    classCode: 0x010802,
    nativeDriver: 'nvme',
    disks: { [disk]: '259:0' },
    bars: [{ index: 0, kind: 'mem64', sizeBytes: 16n * 1024n }],
    resetMethods: ['flr', 'bus'],
    ...rest,
  };
}

/** A PCIe port of the host. */
export function portFunction(options: PresetOptions): FunctionConfig {
  return {
    vendorId: 0x8086,
    deviceId: 0x3420,
    classCode: 0x060400,
    nativeDriver: 'pcieport',
    ...options,
  };
}
