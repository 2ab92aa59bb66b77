import type { VfSettings } from '../../host/effects.js';
import { toBdf, type Bdf } from '../../pci/pci-address.js';
import type { Bar } from '../../pci/bar.js';
import type { FunctionConfig, SriovConfig } from './config.js';
import { DeviceLock } from './device-lock.js';

/** What the kernel keeps of one PCI function. */
export interface PciFunction {
  readonly bdf: Bdf;
  readonly config: FunctionConfig;
  readonly lock: DeviceLock;
  driver: string | undefined;
  driverOverride: string | undefined;
  /** Number of `vfio-dev/vfio<N>` while bound to a VFIO driver. */
  vfioIndex: number | undefined;
  /** Process that has the VFIO device open. */
  openedBy: number | undefined;
  /** Resolvers of those who wait until the VFIO device is closed. */
  readonly closeWaiters: (() => void)[];
  readonly settings: { resetMethod: string; powerControl: string; d3coldAllowed: string };
  sriov:
    | {
        readonly config: SriovConfig;
        numVfs: number;
        autoprobe: boolean;
        /** Of each VF, where the PF has a network interface. */
        settings: VfSettings[];
      }
    | undefined;
  readonly physfn: Bdf | undefined;
  /** Id of the vGPU it is; `0` for none. */
  vgpuType: string;
  /** Config space reads as all ones from now on. */
  dead: boolean;
  /** VFs in index order. */
  virtfns: Bdf[];
}

/** A function just discovered: no driver, no override. */
export function createFunction(config: FunctionConfig, physfn?: Bdf): PciFunction {
  return {
    bdf: toBdf(config.bdf),
    config,
    lock: new DeviceLock(),
    driver: undefined,
    driverOverride: undefined,
    vfioIndex: undefined,
    openedBy: undefined,
    closeWaiters: [],
    settings: {
      resetMethod: (config.resetMethods ?? []).join(' '),
      powerControl: 'on',
      d3coldAllowed: '1',
    },
    sriov: config.sriov && { config: config.sriov, numVfs: 0, autoprobe: true, settings: [] },
    physfn,
    vgpuType: '0',
    dead: config.dead ?? false,
    virtfns: [],
  };
}

/** PCI-to-PCI bridges have a type 1 header, which vfio-pci refuses. */
export function isBridge({ config }: PciFunction): boolean {
  return config.classCode >>> 8 === 0x0604;
}

/** Resource flags of include/linux/ioport.h, with the raw BAR bits in the low nibble. */
const FLAGS: Readonly<Record<Bar['kind'], bigint>> = {
  io: 0x40101n,
  mem32: 0x40200n,
  mem64: 0x140204n,
  pref32: 0x42208n,
  pref64: 0x14220cn,
  rom: 0x46200n,
};

/** Rows 0-12 with CONFIG_PCI_IOV: six BARs, the ROM, six VF BARs. */
const RESOURCE_ROWS = 13;

/** The `resource` file. Addresses are made up, disjoint and aligned; only sizes and flags mean something. */
export function resourceText(fn: PciFunction): string {
  const hex = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
  const rows = Array.from({ length: RESOURCE_ROWS }, () => [0n, 0n, 0n]);
  const next = { high: 0x38_0000_0000_00n, low: 0xe000_0000n, io: 0x3000n };
  for (const bar of fn.config.bars ?? []) {
    const space = bar.kind === 'pref64' ? 'high' : bar.kind === 'io' ? 'io' : 'low';
    const start = alignUp(next[space], bar.sizeBytes);
    next[space] = start + bar.sizeBytes;
    rows[bar.index] = [start, start + bar.sizeBytes - 1n, FLAGS[bar.kind]];
  }
  return rows.map((row) => `${row.map(hex).join(' ')}\n`).join('');
}

function alignUp(value: bigint, to: bigint): bigint {
  return ((value + to - 1n) / to) * to;
}
