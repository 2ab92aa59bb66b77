import type { Devno } from '../ccw/index.js';
import { toBdf } from '../pci/pci-address.js';
import { readSeat, type Seat } from './bus-tree.js';
import type { NamedDevice } from './profiles/index.js';
import { valueOf, type QomReader, type Reading } from './qom.js';
import { readDevno } from './read-place.js';

export const PERIPHERAL = '/machine/peripheral';
export const PERIPHERAL_ANON = '/machine/peripheral-anon';

/** A device that was added by name or by -device, and is no port. */
export interface DeviceReading {
  readonly device: NamedDevice;
  readonly seat: Seat;
  readonly host: string | undefined;
  readonly sysfsdev: string | undefined;
  readonly iommufd: string | undefined;
  /** Of a channel device: its address. */
  readonly devno: Devno | undefined;
  /** Of a pxb: the number of its root bus and the guest's NUMA node, 128 for none. */
  readonly pxb:
    { readonly busNumber: Reading<bigint>; readonly numaNode: number | undefined } | undefined;
}

const CHILD = /^child<(.+)>$/s;

/** The devices in a listing of a folder; only those in /machine/peripheral have an id. */
export function devicesIn(
  folder: string,
  entries: ReadonlyMap<string, string>,
): readonly NamedDevice[] {
  return [...entries].flatMap(([name, typeText]) => {
    const [, type] = CHILD.exec(typeText) ?? [];
    if (type === undefined) return [];
    return [{ id: folder === PERIPHERAL ? name : undefined, path: `${folder}/${name}`, type }];
  });
}

/** Reads one device: two commands, three for a channel device, four for pxb-pcie, five for vfio-pci. Undefined where it is gone. */
export async function readDevice(
  reader: QomReader,
  device: NamedDevice,
): Promise<DeviceReading | undefined> {
  const [seat, devno, vfio, pxb] = await Promise.all([
    readSeat(reader, device.path),
    device.type.endsWith('-ccw') ? readDevno(reader, device.path) : undefined,
    device.type.startsWith('vfio-') ? readVfio(reader, device.path) : undefined,
    device.type === 'pxb-pcie' ? readPxb(reader, device.path) : undefined,
  ]);
  if (seat.addr.kind === 'gone' || seat.parentBus.kind === 'gone') return undefined;
  const { host, sysfsdev, iommufd } = vfio ?? {};
  return { device, seat, devno, host, sysfsdev, iommufd, pxb };
}

async function readVfio(reader: QomReader, path: string) {
  const [host, sysfsdev, iommufd] = await Promise.all([
    reader.text(path, 'host'),
    reader.text(path, 'sysfsdev'),
    // A link, and unknown before QEMU 9.0: both no link and no property mean the group's node.
    reader.text(path, 'iommufd'),
  ]);
  const directory = valueOf(sysfsdev) ?? '';
  return {
    host: hostOf(valueOf(host) ?? '', directory),
    sysfsdev: directory === '' ? undefined : directory,
    iommufd: /^\/objects\/([^/]+)$/.exec(valueOf(iommufd) ?? '')?.[1],
  };
}

/**
 * Host function behind a vfio-pci device. A device added by `sysfsdev` reads `ffff:ff:ff.f` as its
 * `host`; one with a domain above ffff can only be added so.
 */
function hostOf(host: string, sysfsdev: string): string | undefined {
  for (const text of [host, sysfsdev.slice(sysfsdev.lastIndexOf('/') + 1)]) {
    try {
      return toBdf(text);
    } catch {
      // An mdev, or a text that is no address.
    }
  }
  return undefined;
}

/** Number of "no NUMA node" (include/hw/pci-host/pxb, NUMA_NODE_UNASSIGNED = MAX_NODES, 7.2). */
const NO_NUMA_NODE = 128n;

async function readPxb(reader: QomReader, path: string): Promise<DeviceReading['pxb']> {
  const [busNumber, node] = await Promise.all([
    reader.unsigned(path, 'bus_nr', 8),
    reader.unsigned(path, 'numa_node', 16),
  ]);
  const numaNode = valueOf(node);
  return {
    busNumber,
    numaNode: numaNode === undefined || numaNode === NO_NUMA_NODE ? undefined : Number(numaNode),
  };
}
