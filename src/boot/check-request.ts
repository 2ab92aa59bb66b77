import { InputError } from '../errors.js';
import type { MachineProfile, PlannableKind } from '../vm/profiles/index.js';
import { MAX_MMIO64 } from './ovmf.js';
import { FUNCTIONS } from './seats.js';
import type { BootRequest } from './types.js';

const MIB = 1n << 20n;

/** The most ports with which a Linux guest was seen to reach user space (Linux 6.1, TCG). */
export const DEFAULT_PORT_LIMIT = 192;
/** All 30 free devices of q35's pcie.0 with eight ports each; the other machines have no more buses. */
export const MAX_ROOT_PORTS = 240;
/** Most bridges to conventional PCI on a PCI Express machine: SeaBIOS has I/O space for no more (1.16.2). */
const MAX_EXPRESS_BRIDGES = 14;
/** Subchannel sets. */
const MAX_CCW_BRIDGES = 4;
/** QEMU's MAX_NODES less one (include/sysemu/numa.h, 7.2). */
const LAST_NODE = 127;

/** How many of each kind are to be planned. */
export interface PortCounts {
  readonly rootPorts: number;
  readonly switchPorts: number;
  readonly pciBridges: number;
  readonly ccwBridges: number;
}

/**
 * Checks all numbers of a request that a machine could serve.
 *
 * @throws {InputError} `BAD_ARGUMENT`.
 */
export function checkRequest(request: BootRequest, profile: MachineProfile): PortCounts {
  const counts: PortCounts = {
    rootPorts: request.rootPorts,
    switchPorts: request.switchPorts ?? 0,
    pciBridges: request.pciBridges ?? 0,
    ccwBridges: request.ccwBridges ?? 0,
  };
  checkKinds(request, counts, profile);
  checkCounts(request, counts, profile);
  checkNumbers(request, profile);
  checkNodes(request);
  checkSizes(request);
  return counts;
}

const OPTIONS: Readonly<Record<PlannableKind, string>> = {
  'root-port': 'root ports',
  'switch-port': 'switch ports',
  'pci-bridge': 'PCI bridges',
  'ccw-bridge': 'CCW bridges',
  pxb: 'root buses for NUMA nodes',
};

function checkKinds(
  request: BootRequest,
  counts: PortCounts,
  { name, boot }: MachineProfile,
): void {
  const asked: readonly (readonly [PlannableKind, number])[] = [
    ['root-port', counts.rootPorts],
    ['switch-port', counts.switchPorts],
    ['pci-bridge', counts.pciBridges],
    ['ccw-bridge', counts.ccwBridges],
    ['pxb', request.numaNodes?.length ?? 0],
  ];
  for (const [kind, count] of asked) {
    if (count === 0 || boot.kinds.has(kind)) continue;
    const kinds = [...boot.kinds].map((each) => OPTIONS[each]).join(', ');
    throw new InputError('BAD_ARGUMENT', `${OPTIONS[kind]} cannot be planned for ${name}`, {
      remedy: `plan ${kinds} for this machine`,
      details: { machine: name, kinds: [...boot.kinds] },
    });
  }
}

function checkCounts(request: BootRequest, counts: PortCounts, { boot }: MachineProfile): void {
  const { rootPorts, switchPorts, pciBridges, ccwBridges } = counts;
  const { portLimit = DEFAULT_PORT_LIMIT } = request;
  if (!isWhole(portLimit, 1, MAX_ROOT_PORTS)) {
    throw outOfRange('port limit', `1 to ${MAX_ROOT_PORTS}`, portLimit);
  }
  if (isWhole(rootPorts, MAX_ROOT_PORTS + 1, Infinity)) {
    throw new InputError(
      'BAD_ARGUMENT',
      `${rootPorts} root ports: pcie.0 of q35 has room for ${MAX_ROOT_PORTS} ` +
        `(${MAX_ROOT_PORTS / FUNCTIONS} devices x ${FUNCTIONS} functions)`,
      {
        remedy: `plan at most ${DEFAULT_PORT_LIMIT} root ports, and further VMs for the rest`,
        details: { rootPorts, max: MAX_ROOT_PORTS },
      },
    );
  }
  if (rootPorts === 0 && switchPorts + pciBridges + ccwBridges === 0) {
    throw outOfRange('number of root ports', `1 to ${portLimit}`, rootPorts);
  }
  checkAgainstLimit('root ports', rootPorts, portLimit);
  checkAgainstLimit('switch ports', switchPorts, portLimit);
  checkAgainstLimit('root and switch ports', rootPorts + switchPorts, portLimit);
  const devices = boot.last - boot.first + 1;
  const mostBridges = boot.rootBus === 'pcie.0' ? MAX_EXPRESS_BRIDGES : devices;
  if (!isWhole(pciBridges, 0, mostBridges)) {
    throw outOfRange('number of PCI bridges', `0 to ${mostBridges}`, pciBridges);
  }
  if (!isWhole(ccwBridges, 0, MAX_CCW_BRIDGES)) {
    throw outOfRange('number of CCW bridges', `0 to ${MAX_CCW_BRIDGES}`, ccwBridges);
  }
}

function checkAgainstLimit(what: string, count: number, portLimit: number): void {
  if (isWhole(count, 0, portLimit)) return;
  if (!isWhole(count, 0, MAX_ROOT_PORTS))
    throw outOfRange(`number of ${what}`, `0 to ${portLimit}`, count);
  throw new InputError('BAD_ARGUMENT', `${count} ${what}, but the limit is ${portLimit}`, {
    remedy:
      `plan at most ${portLimit}, or raise the port limit (up to ${MAX_ROOT_PORTS}): Linux ` +
      `guests with 200 ports and more were not seen to boot`,
    details: { ports: count, portLimit },
  });
}

function checkNumbers(
  { physBits, firstDevice, hotplug }: BootRequest,
  profile: MachineProfile,
): void {
  const { name, boot } = profile;
  if (firstDevice !== undefined && !isWhole(firstDevice, boot.first, boot.last)) {
    throw outOfRange('first device', `${boot.first} to ${boot.last}`, firstDevice);
  }
  if (physBits !== undefined && !isWhole(physBits, 32, 52)) {
    throw outOfRange('number of address bits', '32 to 52', physBits);
  }
  if (hotplug !== undefined && name !== 'q35') {
    throw new InputError('BAD_ARGUMENT', `How hot-plug reaches the guest is no choice on ${name}`, {
      remedy: 'leave --hotplug out',
      details: { machine: name },
    });
  }
}

function checkNodes({ numaNodes = [] }: BootRequest): void {
  const bad = numaNodes.find((node) => !isWhole(node, 0, LAST_NODE));
  if (bad !== undefined) throw outOfRange('NUMA node', `0 to ${LAST_NODE}`, bad);
  if (new Set(numaNodes).size === numaNodes.length) return;
  throw new InputError('BAD_ARGUMENT', `A NUMA node is named twice: ${numaNodes.join(', ')}`, {
    remedy: 'name each node once',
  });
}

function checkSizes(request: BootRequest): void {
  const { windowBytes = 0n, memoryWindowBytes = 0n } = request;
  const asksForWindows = windowBytes > 0n || memoryWindowBytes > 0n || request.barsPerPort?.length;
  if (asksForWindows && request.rootPorts === 0) {
    throw new InputError(
      'BAD_ARGUMENT',
      'Windows can be asked for by root ports, and none is planned',
      {
        remedy: 'plan root ports, or leave the windows to the firmware',
      },
    );
  }
  const sizes = {
    'size of RAM': request.memoryBytes,
    'size of hot-pluggable RAM': request.hotplugMemoryBytes,
    window: request.windowBytes,
    'memory window': request.memoryWindowBytes,
    '64-bit window of OVMF': request.mmio64Bytes,
  };
  for (const [what, bytes] of Object.entries(sizes)) {
    if (bytes !== undefined && bytes < 0n) throw outOfRange(what, '0 or more bytes', bytes);
  }
  if (request.memoryBytes === 0n) throw outOfRange('size of RAM', 'more than 0 bytes', 0n);
  const { mmio64Bytes, barsPerPort = [], rootPorts, firmware } = request;
  if (mmio64Bytes !== undefined) {
    if (firmware !== 'ovmf') {
      throw new InputError('BAD_ARGUMENT', 'Only OVMF can be asked for a larger 64-bit window', {
        remedy: 'leave it out, or plan for OVMF',
      });
    }
    if (mmio64Bytes % MIB !== 0n || mmio64Bytes === 0n || mmio64Bytes > MAX_MMIO64) {
      throw outOfRange('64-bit window of OVMF', 'whole MiB up to 16 TiB', mmio64Bytes);
    }
  }
  if (barsPerPort.length > rootPorts) {
    throw new InputError(
      'BAD_ARGUMENT',
      `BARs are given for ${barsPerPort.length} ports, but only ${rootPorts} are planned`,
      { remedy: `plan at least ${barsPerPort.length} root ports` },
    );
  }
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function outOfRange(what: string, range: string, value: number | bigint): InputError {
  return new InputError('BAD_ARGUMENT', `The ${what} must be ${range}; got ${value}`, {
    remedy: `give ${range}`,
  });
}
