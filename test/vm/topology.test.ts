import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringifyJson } from '../../src/json.js';
import {
  readVmSnapshot,
  renderTopology,
  topologyOf,
  topologyToJson,
  type TopologyDevice,
  type VmIdentity,
} from '../../src/vm/index.js';
import { anySnapshot } from './any-snapshot.js';
import { FakeQom, pciBridge } from './fake-qom.js';

const IDENTITY: VmIdentity = { kind: 'address', address: 'test' };

function flatten(nodes: readonly TopologyDevice[]): readonly string[] {
  return nodes.flatMap(({ device, children }) => [device.path, ...flatten(children)]);
}

describe('every topology', () => {
  it('has every device exactly once, whatever QEMU says of its place', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const { roots, elsewhere } = topologyOf(snapshot);
        const all = [...flatten(roots.flatMap(({ devices }) => devices)), ...flatten(elsewhere)];
        expect(all.toSorted()).toEqual(snapshot.devices.map(({ path }) => path).toSorted());
      }),
    );
  });

  it('prints one line per device and nothing that could move a cursor', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const topology = topologyOf(snapshot);
        const text = renderTopology(topology);
        expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
        const strangers = snapshot.ports.length;
        const headings = 2 + (topology.elsewhere.length > 0 ? 1 : 0);
        expect(text.trimEnd().split('\n')).toHaveLength(
          headings + snapshot.devices.length + strangers,
        );
        stringifyJson(topologyToJson(topology));
      }),
    );
  });
});

describe('a VM with a device in a port', () => {
  const build = () => {
    const vm = new FakeQom().addPort('rp0', 0x10).addPort('rp1', 0x11);
    vm.plug('/machine/peripheral/rp0/rp0', 'gpu0', 'vfio-pci', {
      host: '0000:3b:00.0',
      sysfsdev: '/sys/bus/pci/devices/0000:3b:00.0',
    });
    return vm;
  };
  const window = (base: number, limit: number) => ({ base, limit });

  it('is drawn once the buses are numbered', async () => {
    const vm = build();
    vm.replies.set('query-pci', [
      {
        bus: 0,
        devices: [
          pciBridge('rp0', 0x10, {
            secondary: 1,
            memory_range: window(0xfe800000, 0xfe9fffff),
            prefetchable_range: window(0x100000000, 0x2ffffffff),
            devices: [],
          }),
          pciBridge('rp1', 0x11, {
            secondary: 2,
            memory_range: window(0xfea00000, 0xfebfffff),
            devices: [],
          }),
        ],
      },
    ]);
    const topology = topologyOf(await readVmSnapshot(vm.session, IDENTITY));
    expect(renderTopology(topology)).toBe(
      [
        'pc-q35-7.2-machine (x86_64), QEMU 7.2.22, running',
        'bus 00 /machine/q35/pcie.0',
        '├─ 02.0 rp0 pcie-root-port: bus 01, acpi, mem 0xfe800000 (2M), pref 0x100000000 (8G), slot 1/16',
        '│  └─ 00.0 gpu0 vfio-pci: 02/00, 0000:01:00.0, host 0000:3b:00.0',
        '└─ 02.1 rp1 pcie-root-port: bus 02, acpi, mem 0xfea00000 (2M), pref closed, slot 1/17, free',
        '',
      ].join('\n'),
    );
    expect(topologyToJson(topology)).toMatchObject({
      vm: { machine: 'pc-q35-7.2-machine', qemu: '7.2.22', ramBytes: 134217728 },
      roots: [
        {
          bus: '/machine/q35/pcie.0',
          number: 0,
          devices: [
            {
              id: 'rp0',
              ports: [
                {
                  id: 'rp0',
                  mechanism: 'acpi',
                  secondaryBus: 1,
                  memoryWindow: { base: '0xfe800000', limit: '0xfe9fffff', sizeBytes: 2097152 },
                  occupants: ['/machine/peripheral/gpu0'],
                },
              ],
              children: [{ id: 'gpu0', guestPath: '02/00', guestBdf: '0000:01:00.0' }],
            },
            { id: 'rp1', ports: [{ prefetchableWindow: 'closed' }] },
          ],
        },
      ],
      elsewhere: [],
    });
  });

  it('says what is not known before the firmware has run', async () => {
    const text = renderTopology(topologyOf(await readVmSnapshot(build().session, IDENTITY)));
    expect(text).toContain(
      '├─ 02.0 rp0 pcie-root-port: bus unknown (the firmware or the guest has not numbered the buses yet), acpi, slot 1/16',
    );
    expect(text).toContain('│  └─ 00.0 gpu0 vfio-pci: 02/00, host 0000:3b:00.0');
  });
});
