import { NoFitError, RefusedError } from '../errors.js';
import { orElse } from '../known.js';
import { takesBus, type BusKind } from './bus-kind.js';
import type { Port, VmSnapshot } from '../vm/types.js';

/** Whether a device's BARs go into a port's windows. */
export type Fit =
  | { readonly kind: 'fits' }
  | { readonly kind: 'no'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** One thing that needs a port: the functions of one slot, or one emulated device. */
export interface PortRequest {
  /** For messages: the BDFs or the id. */
  readonly what: string;
  /** A port named by the user. */
  readonly port: string | undefined;
  /** What kind of bus it goes on; PCI where it is not said. */
  readonly bus?: BusKind | undefined;
  readonly numaNode: number;
  /** What makes ports at boot that take it: options of `qmplug boot-args`. */
  readonly bootOptions: string;
  fit(port: Port): Fit;
}

export interface AllocateOptions {
  /** Port ids that are promised to something else already. */
  readonly taken: ReadonlySet<string>;
  /** Whether a port whose windows are not known yet may be used. */
  readonly allowUnknownWindow: boolean;
}

/**
 * The port for a request: the lowest-numbered free one that fits, near NUMA nodes first, PCI Express before
 * conventional PCI. Free means that QEMU shows nothing in the port; never a count, never `query-pci`.
 *
 * @throws {NoFitError} `NO_FREE_PORT`, `NO_WINDOW`, `WINDOW_UNKNOWN` with every port's reason.
 * @throws {RefusedError} `NO_SUCH_PORT`, `PORT_OCCUPIED`, `PORT_NOT_HOTPLUGGABLE` for a named port.
 */
export function allocatePort(vm: VmSnapshot, request: PortRequest, options: AllocateOptions): Port {
  const candidates =
    request.port === undefined
      ? freePorts(vm, request, options.taken)
      : [namedPort(vm, request, request.port, options)];
  if (candidates.length === 0) throw noFreePort(vm, request, options);
  const near = (port: Port) =>
    request.numaNode >= 0 && port.numaNode === request.numaNode ? 0 : 1;
  const ordered = [...candidates].sort(
    (a, b) => near(a) - near(b) || express(a) - express(b) || comparePorts(a, b),
  );

  const misfits: { port: Port; fit: Exclude<Fit, { kind: 'fits' }> }[] = [];
  for (const port of ordered) {
    const fit = request.fit(port);
    if (fit.kind === 'fits') return port;
    misfits.push({ port, fit });
  }
  const unjudged = misfits.filter(({ fit }) => fit.kind === 'unknown');
  const [first] = unjudged;
  if (first !== undefined && options.allowUnknownWindow) return first.port;
  throw misfit(request, misfits, unjudged.length > 0);
}

/** In a conventional slot a PCI Express device loses its extended configuration space. */
function express({ kind }: Port): number {
  return kind === 'root-port' || kind === 'downstream-port' ? 0 : 1;
}

/** Lowest-numbered first: by root bus, then by the place in the tree. */
function comparePorts(a: Port, b: Port): number {
  const root = (port: Port) => orElse(port.rootBus, 0x100);
  if (root(a) !== root(b)) return root(a) - root(b);
  for (let level = 0; level < Math.max(a.path.length, b.path.length); level += 1) {
    const [left, right] = [a.path[level], b.path[level]];
    if (left === undefined || right === undefined) return a.path.length - b.path.length;
    const difference = left.device - right.device || left.function - right.function;
    if (difference !== 0) return difference;
  }
  return a.slot - b.slot || (a.id < b.id ? -1 : 1);
}

function freePorts(
  vm: VmSnapshot,
  { bus }: PortRequest,
  taken: ReadonlySet<string>,
): readonly Port[] {
  return vm.ports.filter((port) => takesBus(port, bus) && obstacle(port, taken) === undefined);
}

/** Why a port takes nothing now, or undefined when it does. */
export function obstacle(port: Port, taken: ReadonlySet<string>): string | undefined {
  if (port.occupants.length >= port.capacity) {
    return port.capacity > 1 ? 'is full' : `holds ${port.occupants.map(lastPart).join(', ')}`;
  }
  if (taken.has(port.id)) return 'is promised to another device of this request';
  const { mechanism } = port;
  if (!mechanism.known) return `cannot be judged: ${mechanism.reason}`;
  return mechanism.value === 'none' ? 'takes no hot-plug' : undefined;
}

const lastPart = (path: string) => path.slice(path.lastIndexOf('/') + 1);

function namedPort(
  vm: VmSnapshot,
  { bus, what }: PortRequest,
  id: string,
  { taken }: AllocateOptions,
): Port {
  const port = vm.ports.find((candidate) => candidate.id === id);
  if (port !== undefined && !takesBus(port, bus)) {
    const others = vm.ports.filter((candidate) => takesBus(candidate, bus)).slice(0, 8);
    throw new RefusedError('NO_SUCH_PORT', `Port ${id} (${port.kind}) is not for ${what}`, {
      remedy: `name one of: ${others.map((other) => other.id).join(', ') || '(there is none)'}`,
      details: { port: id, kind: port.kind },
    });
  }
  if (port === undefined) {
    throw new RefusedError('NO_SUCH_PORT', `The VM has no port ${JSON.stringify(id)}`, {
      remedy: `name one of: ${vm.ports.map((candidate) => candidate.id).join(', ') || '(there is none)'}`,
      details: { port: id },
    });
  }
  const why = obstacle(port, taken);
  if (why === undefined) return port;
  const occupied = port.occupants.length >= port.capacity || taken.has(id);
  throw new RefusedError(
    occupied ? 'PORT_OCCUPIED' : 'PORT_NOT_HOTPLUGGABLE',
    `Port ${id} ${why}`,
    {
      remedy: 'choose another port, or leave --port out',
      details: { port: id, occupants: port.occupants },
    },
  );
}

function noFreePort(vm: VmSnapshot, request: PortRequest, { taken }: AllocateOptions): NoFitError {
  const suitable = vm.ports.filter((port) => takesBus(port, request.bus));
  const ports = suitable.map((port) => `${port.id} ${obstacle(port, taken) ?? 'is free'}`);
  return new NoFitError(
    'NO_FREE_PORT',
    `${request.what}: no free port (${ports.join('; ') || noneAtAll(request.bus)})`,
    {
      remedy: 'detach something, or boot the VM with more ports: qmplug boot-args --root-ports N',
      details: { ports: vm.ports.map((port) => ({ id: port.id, occupants: port.occupants })) },
    },
  );
}

function noneAtAll(bus: BusKind | undefined): string {
  if (bus === 'ccw') return 'the VM has no channel subsystem';
  if (bus === 'ap') return 'the VM has no bus for crypto queues';
  return 'the VM has no ports at all';
}

function misfit(
  request: PortRequest,
  misfits: readonly { port: Port; fit: Exclude<Fit, { kind: 'fits' }> }[],
  unjudged: boolean,
): NoFitError {
  const reasons = misfits.map(({ port, fit }) => `${port.id}: ${fit.why}`);
  const details = {
    ports: misfits.map(({ port, fit }) => ({
      id: port.id,
      fit: fit.kind,
      secondaryBus: orElse(port.secondaryBus, null),
    })),
  };
  if (unjudged) {
    return new NoFitError(
      'WINDOW_UNKNOWN',
      `${request.what}: whether the BARs fit cannot be told yet (${reasons.join('; ')})`,
      {
        remedy: 'wait until the firmware has numbered the buses, or pass --allow unknown-window',
        details,
      },
    );
  }
  return new NoFitError(
    'NO_WINDOW',
    `${request.what}: no port takes its BARs (${reasons.join('; ')})`,
    {
      remedy: `boot the VM with ports that take it: qmplug boot-args ${request.bootOptions}`,
      details,
    },
  );
}
