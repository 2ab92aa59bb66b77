import type { BootRequest } from '../../src/boot/index.js';
import type { BarKind } from '../../src/pci/bar.js';
import { parseSize } from '../../src/pci/size.js';

/** A request as the golden files write it: sizes as text. */
export interface GoldenRequest {
  readonly machine: string;
  readonly rootPorts: number;
  readonly firstDevice?: number;
  readonly portLimit?: number;
  readonly firmware: 'seabios' | 'ovmf';
  readonly memory: string;
  readonly physBits?: number;
  readonly window?: string;
  readonly memoryWindow?: string;
  /** `"pref64 32G"`: kind and size of one BAR. */
  readonly barsPerPort?: readonly (readonly string[])[];
  readonly hotplug?: 'acpi' | 'native';
  readonly mmio64?: string;
}

export function readRequest(golden: GoldenRequest): BootRequest {
  const size = (text: string | undefined) => (text === undefined ? undefined : parseSize(text));
  return {
    machine: golden.machine,
    rootPorts: golden.rootPorts,
    firstDevice: golden.firstDevice,
    portLimit: golden.portLimit,
    firmware: golden.firmware,
    memoryBytes: parseSize(golden.memory),
    physBits: golden.physBits,
    windowBytes: size(golden.window),
    memoryWindowBytes: size(golden.memoryWindow),
    barsPerPort: golden.barsPerPort?.map((bars) =>
      bars.map((bar, index) => {
        const [kind, bytes = ''] = bar.split(' ');
        return { index, kind: kind as BarKind, sizeBytes: parseSize(bytes) };
      }),
    ),
    hotplug: golden.hotplug,
    mmio64Bytes: size(golden.mmio64),
  };
}
