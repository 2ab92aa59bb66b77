import type { JsonValue } from '../../json.js';
import type { Window } from '../../pci/bar.js';
import type { Machine } from './machine.js';
import { isMainframe } from './mainframe-buses.js';
import {
  devicesOn,
  functionOf,
  slotOf,
  type PciBus,
  type PciDevice,
  type Region,
} from './model.js';

/** q35's own functions on the root bus. Source: query-pci of 7.2.22 with -nodefaults. */
const BUILT_IN: readonly {
  readonly slot: number;
  readonly fn: number;
  readonly classCode: number;
  readonly text: string;
  readonly deviceId: number;
  readonly irqPin: number;
}[] = [
  { slot: 0, fn: 0, classCode: 0x600, text: 'Host bridge', deviceId: 0x29c0, irqPin: 0 },
  { slot: 31, fn: 0, classCode: 0x601, text: 'ISA bridge', deviceId: 0x2918, irqPin: 0 },
  { slot: 31, fn: 2, classCode: 0x106, text: 'SATA controller', deviceId: 0x2922, irqPin: 1 },
  { slot: 31, fn: 3, classCode: 0xc05, text: 'SMBus', deviceId: 0x2930, irqPin: 1 },
];

/** `query-pci`: live configuration space, so nothing behind a bridge before firmware numbered it. */
export function queryPci(machine: Machine): JsonValue {
  if (isMainframe(machine.config)) return [{ bus: 0, devices: [] }];
  const expanders = machine.devices.filter(({ type }) => type.kind === 'host-bridge');
  return [
    ...expanders.map(({ properties, childBus }) => {
      const number = Number(properties.get('bus_nr') ?? 0);
      return { bus: number, devices: childBus ? describeBus(childBus, number) : [] };
    }),
    { bus: 0, devices: rootDevices(machine) },
  ];
}

function rootDevices(machine: Machine): JsonValue[] {
  const builtIn = BUILT_IN.map(({ slot, fn, classCode, text, deviceId, irqPin }) => ({
    devfn: slot * 8 + fn,
    entry: {
      bus: 0,
      slot,
      function: fn,
      qdev_id: '',
      irq_pin: irqPin,
      ...(irqPin === 0 ? {} : { irq: 0 }),
      class_info: { class: classCode, desc: text },
      id: { vendor: 0x8086, device: deviceId, 'subsystem-vendor': 0x1af4, subsystem: 0x1100 },
      regions: [],
    } satisfies JsonValue,
  }));
  const added = devicesOn(machine.rootBus).map((device) => ({
    devfn: device.devfn,
    entry: describe(device, 0),
  }));
  return [...builtIn, ...added].sort((a, b) => a.devfn - b.devfn).map(({ entry }) => entry);
}

function describeBus(bus: PciBus, number: number): JsonValue[] {
  return devicesOn(bus).map((device) => describe(device, number));
}

function describe(device: PciDevice, busNumber: number): JsonValue {
  const { identity, bridge, childBus } = device;
  const { subsystem } = identity;
  return {
    bus: busNumber,
    slot: slotOf(device),
    function: functionOf(device),
    qdev_id: device.id ?? '',
    irq_pin: identity.irqPin,
    ...(identity.irqPin === 0 ? {} : { irq: device.irq }),
    class_info: {
      class: identity.classCode,
      ...(identity.classText === undefined ? {} : { desc: identity.classText }),
    },
    id: {
      vendor: identity.vendorId,
      device: identity.deviceId,
      ...(subsystem ? { 'subsystem-vendor': subsystem[0], subsystem: subsystem[1] } : {}),
    },
    regions: device.regions.map(describeRegion),
    ...(bridge && childBus
      ? {
          pci_bridge: {
            bus: {
              number: bridge.primary,
              secondary: bridge.secondary,
              subordinate: bridge.subordinate,
              io_range: range(bridge.io),
              memory_range: range(bridge.memory),
              prefetchable_range: range(bridge.prefetchable),
            },
            ...(bridge.secondary === 0 ? {} : { devices: describeBus(childBus, bridge.secondary) }),
          },
        }
      : {}),
  };
}

const toNumber = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

const range = ({ base, limit }: Window): JsonValue => ({
  base: toNumber(base),
  limit: toNumber(limit),
});

function describeRegion({ bar, type, sizeBytes, address, prefetch, is64bit }: Region): JsonValue {
  return {
    bar,
    type,
    size: toNumber(sizeBytes),
    address: address === undefined ? -1 : toNumber(address),
    ...(type === 'memory' ? { prefetch, mem_type_64: is64bit } : {}),
  };
}
