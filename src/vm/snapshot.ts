import { ProtocolError } from '../errors.js';
import { known, unknown, type Known } from '../known.js';
import { queryMemorySizeSummary, queryStatus, queryTarget } from '../qmp/commands.js';
import { CommandError } from '../qmp/failures.js';
import { queryPci } from '../qmp/query-pci.js';
import type { QmpSession } from '../qmp/session.js';
import { assemble } from './assemble.js';
import { vmKeyOf } from './identity.js';
import { flattenPciTree } from './pci-view.js';
import { profileOf, type MachineProfile, type NamedDevice } from './profiles/index.js';
import { s390Ccw } from './profiles/s390-ccw.js';
import { QomReader, type Reading } from './qom.js';
import { readChannels } from './read-channels.js';
import { devicesIn, PERIPHERAL, PERIPHERAL_ANON, readDevice } from './read-devices.js';
import { readPorts } from './read-ports.js';
import type { VmIdentity, VmSnapshot } from './types.js';

export interface SnapshotOptions {
  /**
   * An earlier snapshot of the same VM. What cannot change while the VM runs (where its ports are, their
   * chassis, slot numbers, reserves and mechanism) is taken from it.
   */
  readonly previous?: VmSnapshot | undefined;
}

/** Most devices and ports that are read one by one; larger listings are not a VM's. */
const MAX_DEVICES = 4_096;

/**
 * Looks at a running VM, whoever booted it. Nothing is changed.
 *
 * Questions go out in rounds, each all at once, so that a session with `oob` pipelines them; a round
 * begins when the one before it is answered, so that their order is the same every time and can be
 * replayed. Commands in all: 9; for each port at most 9 (with `previous` 1); for
 * each further device 2 (pxb-pcie 4, vfio-pci 5); for each device in a port 1; and 3 for each host bridge.
 *
 * A device that leaves while it is being read is left out. What QEMU does not tell, or tells in a way
 * that cannot be right, is unknown with its reason.
 *
 * @throws {RefusedError} `UNSUPPORTED_MACHINE`.
 * @throws {ProtocolError} `PROTOCOL` where QEMU does not even tell its devices or its state.
 * @throws {OutcomeUnknownError} no answer in time, or the session ended.
 */
export async function readVmSnapshot(
  session: QmpSession,
  identity: VmIdentity,
  options: SnapshotOptions = {},
): Promise<VmSnapshot> {
  const reader = new QomReader(session);
  const [machineType, machineAcpi, arch, status, ramBytes, named, anonymous, objects, view] =
    await Promise.all([
      reader.text('/machine', 'type'),
      reader.text('/machine', 'acpi'),
      queryTarget(session),
      queryStatus(session),
      ifTold(async () => {
        const { baseBytes, pluggedBytes = 0n } = await queryMemorySizeSummary(session);
        return baseBytes + pluggedBytes;
      }),
      reader.list(PERIPHERAL),
      reader.list(PERIPHERAL_ANON),
      reader.list('/objects'),
      ifTold(async () => flattenPciTree(await queryPci(session))),
    ]);
  const machine = { type: required(machineType, 'its machine type'), arch };
  const profile = profileOf(machine);
  const devices = [
    ...devicesIn(PERIPHERAL, required(named, 'its devices')),
    // Made with the first device without an id; a VM may have none.
    ...(anonymous.kind === 'gone'
      ? []
      : devicesIn(PERIPHERAL_ANON, required(anonymous, 'its devices without id'))),
  ];
  if (devices.length > MAX_DEVICES) {
    throw new ProtocolError('PROTOCOL', `The VM lists ${devices.length} devices`);
  }

  const builtIn = await readBuiltIn(reader, profile);
  const portBuses = profile.portBuses([...devices, ...builtIn]);
  const portPaths = new Set(portBuses.map((bus) => bus.device.path));
  const key = vmKeyOf(identity);
  const isOther = (device: NamedDevice) => !portPaths.has(device.path);
  const [ports, others] = await Promise.all([
    readPorts(
      {
        reader,
        machineAcpi,
        types: new Map(devices.map(({ path, type }) => [path, type])),
        mechanism: profile.mechanism,
        previous: usable(options.previous, identity, key),
      },
      portBuses,
    ),
    Promise.all(devices.filter(isOther).map((device) => readDevice(reader, device))),
  ]);
  const found = { ports, others: others.filter((device) => device !== undefined) };
  const placed = await assemble(reader, { ...found, view });
  const channels = profile === s390Ccw ? await readChannels(reader, devices, found) : undefined;
  return {
    identity,
    key,
    qemu: session.version,
    machineType: machine.type,
    arch,
    status: status.status,
    ...placed,
    objects: objectsIn(objects),
    ramBytes,
    ...(channels === undefined ? {} : { channels }),
  };
}

/** Devices that the machine made by itself, where a profile has to look for its host bridges. */
async function readBuiltIn(
  reader: QomReader,
  { builtIn }: MachineProfile,
): Promise<readonly NamedDevice[]> {
  if (builtIn === undefined) return [];
  const listing = required(await reader.list(builtIn), 'its built-in devices');
  return devicesIn(builtIn, listing);
}

/** An address may lead to another VM by now; a process cannot become another one. */
function usable(
  previous: VmSnapshot | undefined,
  identity: VmIdentity,
  key: string,
): VmSnapshot | undefined {
  return identity.kind === 'process' && previous?.key === key ? previous : undefined;
}

function required<T>(reading: Reading<T>, what: string): T {
  if (reading.kind === 'value') return reading.value;
  const reason = reading.kind === 'unreadable' ? reading.reason : 'it is not there';
  throw new ProtocolError('PROTOCOL', `The VM does not tell ${what}: ${reason}`);
}

/** The children of /objects with their types; there is none before the first object. */
function objectsIn(reading: Reading<ReadonlyMap<string, string>>): ReadonlyMap<string, string> {
  if (reading.kind === 'gone') return new Map();
  const entries = required(reading, 'its objects');
  return new Map(
    [...entries].flatMap(([id, typeText]) => {
      const [, type] = /^child<(.+)>$/s.exec(typeText) ?? [];
      return type === undefined ? [] : [[id, type]];
    }),
  );
}

/** A query whose answer a VM can be read without. */
async function ifTold<T>(query: () => Promise<T>): Promise<Known<T>> {
  try {
    return known(await query());
  } catch (error) {
    if (error instanceof CommandError || error instanceof ProtocolError) {
      return unknown(error.message);
    }
    throw error;
  }
}
