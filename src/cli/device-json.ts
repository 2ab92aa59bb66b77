import {
  rootOf,
  topologyPathOf,
  type Candidate,
  type DeviceRecord,
  type Known,
  type MdevRecord,
  type PciNames,
} from '../index.js';
import type { Obstacle } from './obstacles.js';
import { className } from './pci-class.js';

/** A candidate as `devices --json` prints it: what is unknown is null and has its reason in `unknown`. */
export function describeCandidate(
  candidate: Candidate,
  names: PciNames | undefined,
  obstacles: readonly Obstacle[],
) {
  return candidate.kind === 'pci'
    ? describeFunction(candidate.record, names, obstacles)
    : describeMdev(candidate.record);
}

function describeFunction(
  record: DeviceRecord,
  names: PciNames | undefined,
  obstacles: readonly Obstacle[],
) {
  const { value, unknown } = unpack(record);
  const { bdf, vendorId, deviceId, classCode } = record;
  const path = value(record.path);
  const group = value(record.iommuGroup);
  const companions = value(record.companions);
  const sriov = value(record.sriov);
  const numaNode = value(record.numaNode);
  const serials = value(record.serials);
  return {
    kind: 'pci',
    bdf,
    vendorId: hex(value(vendorId), 4),
    deviceId: hex(value(deviceId), 4),
    vendor: vendorId.known ? names?.vendor(vendorId.value) : undefined,
    device:
      vendorId.known && deviceId.known ? names?.device(vendorId.value, deviceId.value) : undefined,
    subsystemVendorId: hex(value(record.subsystemVendorId), 4),
    subsystemDeviceId: hex(value(record.subsystemDeviceId), 4),
    classCode: hex(value(classCode), 6),
    class: classCode.known ? className(classCode.value) : undefined,
    revision: value(record.revision),
    driver: value(record.driver),
    driverOverride: value(record.driverOverride),
    module: value(record.module),
    iommuGroup: group,
    groupMembers: group === undefined ? [] : [bdf, ...(companions?.group ?? [])].sort(compareNames),
    companions,
    numaNode: numaNode === undefined || numaNode < 0 ? undefined : numaNode,
    socket: value(record.socket),
    localCpus: value(record.localCpus),
    path,
    root: path === undefined ? undefined : rootOf(path),
    topologyPath: path === undefined ? undefined : topologyPathOf(path),
    slot: value(record.slot),
    label: value(record.label),
    acpiIndex: value(record.acpiIndex),
    serials: serials?.found,
    bars: value(record.bars),
    link: { max: value(record.maxLink), current: value(record.currentLink) },
    runtimeStatus: value(record.runtimeStatus),
    resetMethods: value(record.resetMethods),
    bridge: classCode.known ? isBridge(classCode.value) : undefined,
    bootVga: value(record.bootVga),
    sriov: sriov?.role,
    physfn: sriov?.physfn,
    vfIndex: sriov?.index,
    vfs: sriov?.vfs,
    vfCount: sriov?.vfs.length,
    vfTotal: sriov?.total,
    mdevTypes: value(record.mdevTypes)?.map(({ available, ...type }) => ({
      ...type,
      available: available.known ? available.value : undefined,
    })),
    mdevs: value(record.mdevs),
    vfioCdev: value(record.vfioCdev),
    modalias: value(record.modalias),
    children: value(record.children),
    unknown: {
      ...unknown,
      ...(serials?.unread === undefined ? {} : { serials: serials.unread }),
    },
    uses: obstacles,
  };
}

function describeMdev(record: MdevRecord) {
  const { value, unknown } = unpack(record);
  return {
    kind: 'mdev',
    uuid: record.uuid,
    parent: value(record.parent),
    type: value(record.type),
    typeName: value(record.typeName),
    driver: value(record.driver),
    iommuGroup: value(record.iommuGroup),
    unknown,
  };
}

/** Reads facts, and lists why those that are unknown are so. */
function unpack(record: DeviceRecord | MdevRecord) {
  const facts: readonly (readonly [string, unknown])[] = Object.entries(record);
  const reasons = facts.flatMap(([name, fact]) =>
    isUnknown(fact) ? [[name, fact.reason] as const] : [],
  );
  return {
    value: <T>(fact: Known<T>): T | undefined => (fact.known ? fact.value : undefined),
    unknown: Object.fromEntries(reasons),
  };
}

function isUnknown(fact: unknown): fact is { readonly reason: string } {
  return typeof fact === 'object' && fact !== null && 'known' in fact && fact.known === false;
}

const isBridge = (classCode: number) => [0x0604, 0x0600].includes(classCode >>> 8);

export function hex(value: number | undefined, width: number): string | undefined {
  return value === undefined ? undefined : `0x${value.toString(16).padStart(width, '0')}`;
}

/** Members of a group are in one domain nearly always; its digits have one width there. */
const compareNames = (a: string, b: string) => a.length - b.length || (a < b ? -1 : Number(a > b));
