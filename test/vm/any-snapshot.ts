import fc from 'fast-check';
import { known, unknown } from '../../src/known.js';
import type { Port, VmBus, VmDevice, VmSnapshot } from '../../src/vm/index.js';

const ROOT = '/machine/q35/pcie.0';

/** A device, and where in the list its parent is; -1 hangs on the root bus. */
const anyPlant = fc.record({
  isPort: fc.boolean(),
  isPci: fc.boolean(),
  parent: fc.integer({ min: -1, max: 9 }),
  devfn: fc.nat(255),
  number: fc.option(fc.integer({ min: 1, max: 199 }), { nil: undefined }),
  name: fc.string({ minLength: 1, maxLength: 6 }),
});

/** Snapshots of trees that may be odd: behind themselves, behind devices that offer no bus. */
export const anySnapshot: fc.Arbitrary<VmSnapshot> = fc
  .array(anyPlant, { maxLength: 10 })
  .map((plants) => {
    const pathOf = (index: number) =>
      `/machine/peripheral/${plants[index]?.name.replaceAll('/', '_') ?? ''}-${index}`;
    const busOf = (index: number) => (plants[index] ? `${pathOf(index)}/bus` : ROOT);
    const devices = plants.map((plant, index): VmDevice => ({
      id: `${plant.name}-${index}`,
      path: pathOf(index),
      type: plant.isPort ? 'pcie-root-port' : 'nvme',
      parentBus: busOf(plant.parent),
      devfn: plant.isPci ? plant.devfn : undefined,
      host: undefined,
      sysfsdev: undefined,
    }));
    const numbers = plants.map(({ number }) =>
      number === undefined ? unknown('not numbered') : known(number),
    );
    const ports = plants.flatMap(({ isPort }, index): readonly Port[] =>
      isPort ? [portAt(busOf(index), pathOf(index), numbers[index] ?? unknown('?'))] : [],
    );
    const buses = new Map<string, VmBus>([[ROOT, { path: ROOT, isRoot: true, number: known(0) }]]);
    plants.forEach((_, index) => {
      const path = busOf(index);
      buses.set(path, { path, isRoot: false, number: numbers[index] ?? unknown('?') });
    });
    return {
      identity: { kind: 'address', address: 'test' },
      key: 'test',
      qemu: { major: 7, minor: 2, micro: 22, package: '' },
      machineType: 'pc-q35-7.2-machine',
      arch: 'x86_64',
      status: 'running',
      ports,
      buses,
      devices,
      objects: new Map([
        ['ram0', 'memory-backend-ram'],
        ['iommufd0', 'iommufd'],
      ]),
      ramBytes: known(1n << 30n),
    };
  });

function portAt(busPath: string, device: string, secondaryBus: Port['secondaryBus']): Port {
  const window = secondaryBus.known
    ? known({ base: 0xfe000000n, limit: 0xfe1fffffn })
    : secondaryBus;
  return {
    id: device.slice(device.lastIndexOf('/') + 1),
    kind: 'root-port',
    type: 'pcie-root-port',
    busPath,
    busName: 'bus',
    slot: 0,
    capacity: 1,
    mechanism: secondaryBus.known ? known('acpi') : unknown('no idea \u001b[31m'),
    chassis: 1,
    slotNumber: 2,
    numaNode: undefined,
    rootBus: known(0),
    path: [{ device: 1, function: 0 }],
    secondaryBus,
    memoryWindow: window,
    prefetchableWindow: secondaryBus.known ? known(undefined) : secondaryBus,
    memoryReserve: undefined,
    prefetchableReserve: undefined,
    occupants: ['/machine/peripheral-anon/device[0]'],
  };
}
