import { InputError, RefusedError } from '../errors.js';
import { formatSize } from '../pci/size.js';
import { escapeControl } from '../text.js';
import { planAddressSpace } from './address-space.js';
import { MAX_MMIO64, ovmfWindowArgs } from './ovmf.js';
import { planWindows } from './reserves.js';
import type { BootPlan, BootRequest, PlannedPort } from './types.js';

const MIB = 1n << 20n;

/** Functions of one device. */
const FUNCTIONS = 8;
/** Device 0 of pcie.0 is the memory controller hub, 0x1f holds ICH9 (hw/i386/pc_q35.c, 7.2). */
const FIRST_DEVICE = 1;
const LAST_DEVICE = 0x1e;
/** All 30 free devices of pcie.0 with eight ports each. */
export const MAX_ROOT_PORTS = (LAST_DEVICE - FIRST_DEVICE + 1) * FUNCTIONS;
/** The most ports with which a Linux guest was seen to reach user space (Linux 6.1, TCG). */
export const DEFAULT_PORT_LIMIT = 192;
/** Any chassis will do, as the slot numbers in it are unique. */
const CHASSIS = 1;

/**
 * QEMU arguments for the ports of a VM that has not been started yet. Pure: the same request gives
 * the same plan.
 *
 * Ports are packed eight to a device of pcie.0. Each has its address, chassis and slot number
 * written out, takes no I/O window (64 KiB are not enough for 20 of them), and has windows that
 * surely hold the BARs asked for, whatever the firmware's alignment.
 *
 * @throws {InputError} `BAD_ARGUMENT` for a value out of range.
 * @throws {RefusedError} `UNSUPPORTED_MACHINE`.
 * @throws {NoFitError} `NO_WINDOW` where all windows together do not fit the guest's address space.
 */
export function planBoot(request: BootRequest): BootPlan {
  checkMachine(request.machine);
  checkNumbers(request);
  const firstDevice = chooseFirstDevice(request);
  const windows = planWindows(request);
  const { mmio64Bytes } = planAddressSpace(request, windows);
  const ports = windows.map((window, index): PlannedPort => ({
    id: `rp${index}`,
    kind: 'root-port',
    bus: 'pcie.0',
    chassis: CHASSIS,
    slot: index + 1,
    addr: `0x${(firstDevice + Math.floor(index / FUNCTIONS)).toString(16)}.${index % FUNCTIONS}`,
    window,
  }));
  return { args: [...globalArgs(request, mmio64Bytes), ...ports.flatMap(portArgs)], ports };
}

function portArgs(port: PlannedPort, index: number): readonly string[] {
  const { prefetchableBytes, memoryBytes } = port.window;
  const properties = [
    'pcie-root-port',
    `id=${port.id}`,
    `bus=${port.bus}`,
    `addr=${port.addr}`,
    `chassis=${port.chassis}`,
    `slot=${port.slot}`,
    ...(index % FUNCTIONS === 0 ? ['multifunction=on'] : []),
    'io-reserve=0',
    ...(memoryBytes === undefined ? [] : [`mem-reserve=${formatSize(memoryBytes)}`]),
    ...(prefetchableBytes === undefined ? [] : [`pref64-reserve=${formatSize(prefetchableBytes)}`]),
  ];
  return ['-device', properties.join(',')];
}

function globalArgs({ hotplug }: BootRequest, mmio64Bytes: bigint | undefined): readonly string[] {
  const args: string[] = [];
  if (hotplug !== undefined) {
    const value = hotplug === 'acpi' ? 'on' : 'off';
    args.push('-global', `ICH9-LPC.acpi-pci-hotplug-with-bridge-support=${value}`);
  }
  if (mmio64Bytes !== undefined) {
    args.push(...ovmfWindowArgs(mmio64Bytes));
  }
  return args;
}

function checkMachine(machine: string): void {
  if (/^(q35|pc-q35-[\w.-]+)$/.test(machine)) return;
  throw new RefusedError(
    'UNSUPPORTED_MACHINE',
    `Ports cannot be planned for machine ${escapeControl(machine)}`,
    { remedy: 'plan for --machine q35', details: { machine } },
  );
}

function checkNumbers(request: BootRequest): void {
  const { rootPorts, portLimit = DEFAULT_PORT_LIMIT, physBits, firstDevice } = request;
  if (!isWhole(portLimit, 1, MAX_ROOT_PORTS)) {
    throw outOfRange('port limit', `1 to ${MAX_ROOT_PORTS}`, portLimit);
  }
  if (isWhole(rootPorts, MAX_ROOT_PORTS + 1, Infinity)) {
    throw new InputError(
      'BAD_ARGUMENT',
      `${rootPorts} root ports: pcie.0 of q35 has room for ${MAX_ROOT_PORTS} ` +
        `(${LAST_DEVICE - FIRST_DEVICE + 1} devices x ${FUNCTIONS} functions)`,
      {
        remedy: `plan at most ${DEFAULT_PORT_LIMIT} root ports, and further VMs for the rest`,
        details: { rootPorts, max: MAX_ROOT_PORTS },
      },
    );
  }
  if (isWhole(rootPorts, portLimit + 1, MAX_ROOT_PORTS)) {
    throw new InputError('BAD_ARGUMENT', `${rootPorts} root ports, but the limit is ${portLimit}`, {
      remedy:
        `plan at most ${portLimit}, or raise the port limit (up to ${MAX_ROOT_PORTS}): Linux ` +
        `guests with 200 ports and more were not seen to boot`,
      details: { rootPorts, portLimit },
    });
  }
  if (!isWhole(rootPorts, 1, portLimit)) {
    throw outOfRange('number of root ports', `1 to ${portLimit}`, rootPorts);
  }
  if (firstDevice !== undefined && !isWhole(firstDevice, FIRST_DEVICE, LAST_DEVICE)) {
    throw outOfRange('first device', `${FIRST_DEVICE} to ${LAST_DEVICE}`, firstDevice);
  }
  if (physBits !== undefined && !isWhole(physBits, 32, 52)) {
    throw outOfRange('number of address bits', '32 to 52', physBits);
  }
  checkSizes(request);
}

function checkSizes(request: BootRequest): void {
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

function chooseFirstDevice({ rootPorts, firstDevice }: BootRequest): number {
  const devices = Math.ceil(rootPorts / FUNCTIONS);
  const last = LAST_DEVICE - devices + 1;
  const first = firstDevice ?? Math.min(2, last);
  if (first <= last) return first;
  throw new InputError(
    'BAD_ARGUMENT',
    `${rootPorts} root ports need ${devices} devices of pcie.0, but from ${first} to ${LAST_DEVICE} ` +
      `there are ${LAST_DEVICE - first + 1}`,
    { remedy: `start at device ${last} or below`, details: { firstDevice: first, rootPorts } },
  );
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function outOfRange(what: string, range: string, value: number | bigint): InputError {
  return new InputError('BAD_ARGUMENT', `The ${what} must be ${range}; got ${value}`, {
    remedy: `give ${range}`,
  });
}
