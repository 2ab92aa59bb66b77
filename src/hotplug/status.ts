import { orElse } from '../known.js';
import type { Attachment } from '../plan/attachment.js';
import { hostBehind } from '../plan/host-behind.js';
import { formatAddr } from '../plan/placement.js';
import type { PciBusInfo, PciDeviceInfo } from '../qmp/query-pci.js';
import type { Port, VmDevice, VmSnapshot } from '../vm/types.js';
import { guestAddressOf, portPathOf } from '../vm/guest-address.js';
import { portOf } from '../vm/port-of.js';
import { profileOf } from '../vm/profiles/index.js';
import type { FunctionReport, RemovalReport, RouteReport } from './requests.js';

export interface PortStatus {
  readonly id: string;
  readonly kind: Port['kind'];
  /** `acpi`, `native` ...; `unknown` where QEMU does not tell. */
  readonly mechanism: string;
  /** `pending` while the removal of what is in it is not over. */
  readonly state: 'free' | 'used' | 'pending' | 'unusable';
  /** Ids of what is in it, or paths of what has no id. */
  readonly occupants: readonly string[];
  readonly guestPath: string;
}

/** Attached functions as the VM has them now. */
export interface AttachmentStatus {
  readonly group: number | undefined;
  /** The way into QEMU, as that tells it; left out for an emulated device. */
  readonly route?: RouteReport | undefined;
  readonly functions: readonly FunctionReport[];
  /** Ids that are not in the VM any more although nobody asked for that. */
  readonly missing: readonly string[];
}

export interface VmStatus {
  readonly vm: {
    readonly key: string;
    readonly machine: string;
    readonly arch: string;
    readonly status: string;
    readonly qemu: string;
    /** What was never seen to work on this machine; left out where all was. */
    readonly experimental?: string | undefined;
  };
  readonly ports: readonly PortStatus[];
  readonly attachments: readonly AttachmentStatus[];
  readonly removals: readonly Omit<RemovalReport, 'ms'>[];
}

/** What the reading functions show things by. */
export interface View {
  readonly vm: VmSnapshot;
  readonly pci: readonly PciBusInfo[];
}

/** The state of a VM as `status` tells it. */
export function readStatus(
  view: View & {
    readonly attachments: readonly Attachment[];
    readonly leaving: ReadonlySet<string>;
  },
): VmStatus {
  const { vm, attachments, leaving } = view;
  const { major, minor, micro } = vm.qemu;
  const { unproven } = profileOf({ type: vm.machineType, arch: vm.arch });
  const present = new Set(vm.devices.map((device) => device.id));
  return {
    vm: {
      key: vm.key,
      machine: vm.machineType,
      arch: vm.arch,
      status: vm.status,
      qemu: `${major}.${minor}.${micro}`,
      ...(unproven === undefined ? {} : { experimental: unproven }),
    },
    ports: vm.ports.map((port) => describePort(port, vm, leaving)),
    attachments: attachments.map((attachment) => {
      const ids = attachment.functions.map((fn) => fn.id);
      const route = routeInVm(ids, vm);
      return {
        group: attachment.groups[0],
        ...(route === undefined ? {} : { route }),
        functions: describeFunctions(ids, view),
        missing: ids.filter((id) => !present.has(id) && !leaving.has(id)),
      };
    }),
    removals: [...leaving].map((id) => ({ id, state: present.has(id) ? 'pending' : 'unplugged' })),
  };
}

function describePort(port: Port, vm: VmSnapshot, leaving: ReadonlySet<string>): PortStatus {
  const occupants = port.occupants.map(
    (path) => vm.devices.find((device) => device.path === path)?.id ?? idIn(path),
  );
  const mechanism = orElse(port.mechanism, 'unknown');
  const state = () => {
    if (occupants.some((id) => leaving.has(id))) return 'pending';
    if (occupants.length >= port.capacity) return 'used';
    return mechanism === 'none' ? 'unusable' : 'free';
  };
  return {
    id: port.id,
    kind: port.kind,
    mechanism,
    state: state(),
    occupants,
    guestPath: portPathOf(port) ?? '',
  };
}

/** A device that came while the VM was read is in its port, but not among the devices yet. */
function idIn(path: string): string {
  return /^\/machine\/peripheral\/([^/]+)$/.exec(path)?.[1] ?? path;
}

/** The functions with these ids as the VM has them; one that is not there is left out. */
export function describeFunctions(ids: readonly string[], view: View): readonly FunctionReport[] {
  return ids.flatMap((id) => {
    const device = view.vm.devices.find((each) => each.id === id);
    return device === undefined ? [] : [describeFunction(id, device, view)];
  });
}

/** By which way host devices came in; whether somebody handed them over cannot be seen any more. */
export function routeInVm(ids: readonly string[], vm: VmSnapshot): RouteReport | undefined {
  const device = vm.devices.find(
    ({ id, type }) => type.startsWith('vfio-') && ids.includes(id ?? ''),
  );
  if (device === undefined) return undefined;
  return { kind: device.iommufd === undefined ? 'group' : 'iommufd' };
}

function describeFunction(id: string, device: VmDevice, { vm, pci }: View): FunctionReport {
  const { devfn, devno } = device;
  const { text, bdf } = guestAddressOf(vm, device);
  const info = findById(pci, id);
  return {
    id,
    host: hostBehind(device),
    port: portOf(vm.ports, device)?.id ?? '',
    addr: devno ?? (devfn === undefined ? '' : formatAddr(devfn >> 3, devfn & 7)),
    guestPath: text ?? '',
    guestBdf: bdf,
    bars: (info?.regions ?? []).map(({ bar, sizeBytes, address }) => ({ bar, sizeBytes, address })),
  };
}

/** A device of `query-pci` by its id; undefined while its bus has no number. */
export function findById(pci: readonly PciBusInfo[], id: string): PciDeviceInfo | undefined {
  const search = (devices: readonly PciDeviceInfo[]): PciDeviceInfo | undefined => {
    for (const device of devices) {
      if (device.qdevId === id) return device;
      const below = search(device.bridge?.devices ?? []);
      if (below !== undefined) return below;
    }
    return undefined;
  };
  return search(pci.flatMap((bus) => bus.devices));
}
