import { childType, qomList } from '../qmp/qom-commands.js';
import { CommandError } from '../qmp/failures.js';
import type { QmpEvent, QmpSession } from '../qmp/session.js';
import { deviceOf } from '../plan/added-device.js';
import type { AddDevice } from '../plan/steps.js';
import { isInPort } from '../vm/port-of.js';
import { readVmSnapshot } from '../vm/snapshot.js';
import type { VmSnapshot } from '../vm/types.js';
import type { VmLink } from './vm-link.js';

/** What was seen of the VM. */
export interface Look {
  readonly vm: VmSnapshot;
  /** False where only the devices were compared with an earlier look: windows may have moved since. */
  readonly fresh: boolean;
}

interface Kept {
  readonly vm: VmSnapshot;
  /** Events of another session would have been missed. */
  readonly session: QmpSession;
}

const PERIPHERAL = '/machine/peripheral';
const PERIPHERAL_ANON = '/machine/peripheral-anon';

/**
 * The last look at a VM, for as long as nothing speaks against it. A full look is dozens of commands; QEMU
 * tells of every device that leaves, and two listings show whether one came. Whatever else QEMU tells
 * (a reset moves windows) makes the next look a full one.
 */
export class LastLook {
  readonly #link: VmLink;
  /** However old: what cannot change while the VM runs is not asked for again. */
  #previous: VmSnapshot | undefined;
  #kept: Kept | undefined;

  constructor(link: VmLink) {
    this.#link = link;
    link.onEvent((event) => {
      const vm = this.#kept && afterEvent(this.#kept.vm, event);
      this.#kept = this.#kept && vm && { ...this.#kept, vm };
    });
  }

  /** A full look. */
  async renew(): Promise<Look> {
    const session = await this.#link.session();
    this.#kept = undefined;
    const heard: QmpEvent[] = [];
    const stopListening = this.#link.onEvent((event) => heard.push(event));
    try {
      const vm = await readVmSnapshot(session, this.#link.identity, { previous: this.#previous });
      this.#previous = vm;
      // What happened during the look may be in it by half.
      if (heard.every((event) => isOver(event, vm))) this.#kept = { vm, session };
      return { vm, fresh: true };
    } finally {
      stopListening();
    }
  }

  /** The last look where the VM still has exactly the devices it had then, or a full one. */
  async confirm(): Promise<Look> {
    const kept = this.#kept;
    if (kept === undefined || (await this.#link.session()) !== kept.session) return this.renew();
    const present = await listDevices(kept.session);
    // An event may have come with the listings.
    const vm = this.#kept && afterListing(this.#kept.vm, present);
    if (vm === undefined) return this.renew();
    this.#kept = { vm, session: kept.session };
    return { vm, fresh: false };
  }

  /** Takes over devices whose place was verified when they were added. */
  add(added: readonly AddDevice[]): void {
    const vm = this.#kept?.vm;
    // QEMU makes a zpci of its own along with a device of an s390x VM.
    const isWhole = vm !== undefined && vm.channels === undefined;
    this.#kept = this.#kept && isWhole ? { ...this.#kept, vm: withAdded(vm, added) } : undefined;
  }
}

/** The VM with devices whose place was verified when they were added. */
export function withAdded(vm: VmSnapshot, added: readonly AddDevice[]): VmSnapshot {
  const devices = added.map(deviceOf);
  const ports = vm.ports.map((port) => {
    const inside = devices.filter((device) => isInPort(port, vm.ports, device));
    if (inside.length === 0) return port;
    return { ...port, occupants: [...port.occupants, ...inside.map(({ path }) => path)].sort() };
  });
  return { ...vm, ports, devices: [...vm.devices, ...devices] };
}

/** A removal that the look has seen already: what was removed is not in it. */
function isOver({ event, data }: QmpEvent, vm: VmSnapshot): boolean {
  return event === 'DEVICE_DELETED' && !vm.devices.some(({ path }) => path === data.path);
}

/** The VM after an event, or undefined where only a new look can tell. */
function afterEvent(vm: VmSnapshot, { event, data }: QmpEvent): VmSnapshot | undefined {
  if (event !== 'DEVICE_DELETED') return undefined;
  // A part of a device goes with it, and has a path of its own.
  return without(vm, new Set([data.path]));
}

/** The VM less what is not listed any more, or undefined where something came. */
function afterListing(
  vm: VmSnapshot,
  present: ReadonlyMap<string, string>,
): VmSnapshot | undefined {
  const gone = vm.devices.filter(({ path, type }) => present.get(path) !== type);
  const hasMore = present.size > vm.devices.length - gone.length;
  return hasMore ? undefined : without(vm, new Set(gone.map(({ path }) => path)));
}

/**
 * The VM without some devices; undefined where more may have gone with them: a bridge takes its bus along,
 * a device of an s390x VM its zpci.
 */
function without(vm: VmSnapshot, gone: ReadonlySet<unknown>): VmSnapshot | undefined {
  if (!vm.devices.some(({ path }) => gone.has(path))) return vm;
  if (vm.channels !== undefined) return undefined;
  const buses = [...vm.buses.keys(), ...vm.ports.map(({ busPath }) => busPath)];
  if (buses.some((bus) => gone.has(bus.slice(0, bus.lastIndexOf('/'))))) return undefined;
  return {
    ...vm,
    devices: vm.devices.filter(({ path }) => !gone.has(path)),
    ports: vm.ports.map((port) => ({
      ...port,
      occupants: port.occupants.filter((path) => !gone.has(path)),
    })),
  };
}

/** Types of everything that was made with -device or device_add, by path. */
async function listDevices(session: QmpSession): Promise<ReadonlyMap<string, string>> {
  const [named, anonymous] = await Promise.all([
    listFolder(session, PERIPHERAL),
    // Made with the first device without an id.
    listFolder(session, PERIPHERAL_ANON).catch((error: unknown) => {
      if (error instanceof CommandError && error.failure.kind === 'path-not-found') return [];
      throw error;
    }),
  ]);
  return new Map([...named, ...anonymous]);
}

async function listFolder(session: QmpSession, folder: string): Promise<[string, string][]> {
  const entries = await qomList(session, folder);
  return entries.flatMap((entry): [string, string][] => {
    const type = childType(entry);
    return type === undefined ? [] : [[`${folder}/${entry.name}`, type]];
  });
}
