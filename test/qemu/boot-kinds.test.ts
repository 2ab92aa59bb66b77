import { describe, expect, it } from 'vitest';
import { planBoot, type BootRequest } from '../../src/boot/index.js';
import { connectQmp } from '../../src/qmp/connect.js';
import { CliHome } from '../cli/run-cli.js';
import { readVmSnapshot } from '../../src/vm/index.js';
import { startQemu, type QemuOptions } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

const MIB = 1n << 20n;
const REQUEST: BootRequest = {
  machine: 'q35',
  rootPorts: 0,
  firmware: 'seabios',
  memoryBytes: 128n * MIB,
};
const IDENTITY = { kind: 'address', address: 'test' } as const;
const NODES = [0, 1].flatMap((node) => [
  ...['-object', `memory-backend-ram,id=mem${node},size=64M`],
  ...['-numa', `node,nodeid=${node},memdev=mem${node}`],
]);

async function readPorts(qmpPath: string) {
  await using session = await connectQmp(`unix:${qmpPath}`);
  return (await readVmSnapshot(session, IDENTITY)).ports;
}

/** Ports by id as the plan names them: a bridge has one for each slot. */
function plannedIds(ports: ReturnType<typeof planBoot>['ports']): readonly string[] {
  return ports.flatMap(({ id, kind }) =>
    kind.endsWith('bridge') && kind !== 'ccw-bridge'
      ? Array.from({ length: 31 }, (_, index) => `${id}.${index + 1}`)
      : [id],
  );
}

describe('SeaBIOS numbers every bus of a plan', () => {
  it.each<[string, Partial<BootRequest>, readonly string[]]>([
    ['one switch', { switchPorts: 3 }, []],
    ['six full switches', { switchPorts: 192 }, []],
    ['the most switch ports', { switchPorts: 238, portLimit: 240 }, []],
    ['the most PCI bridges', { pciBridges: 14 }, []],
    ['a bit of everything', { rootPorts: 9, switchPorts: 40, pciBridges: 2 }, []],
    [
      'everything on two NUMA nodes',
      { rootPorts: 9, switchPorts: 40, pciBridges: 2, numaNodes: [0, 1] },
      NODES,
    ],
    ['the most bridges of a pc', { machine: 'pc', pciBridges: 30 }, []],
    ['192 root ports on two NUMA nodes', { rootPorts: 192, numaNodes: [1, 0] }, NODES],
  ])('%s', async (_, change, more) => {
    const plan = planBoot({ ...REQUEST, ...change });
    const { machine } = { ...REQUEST, ...change };
    await using qemu = await startQemu({ machine, args: [...more, ...plan.args] });
    const bridges = await waitForNumberedBuses(
      qemu,
      plan.ports.map(({ id }) => id),
    );
    const numbers = [...bridges.values()].map(({ secondaryBus }) => secondaryBus);
    expect(new Set(numbers).size).toBe(plan.ports.length);

    const ports = await readPorts(qemu.qmpPath);
    const byId = new Map(ports.map((port) => [port.id, port]));
    for (const id of plannedIds(plan.ports)) {
      expect(byId.get(id), id).toMatchObject({ occupants: [], mechanism: { known: true } });
    }
    for (const { id, numaNode } of plan.ports) {
      expect((byId.get(id) ?? byId.get(`${id}.1`))?.numaNode).toBe(numaNode);
    }
    const [last = ''] = plannedIds(plan.ports).slice(-1);
    const port = byId.get(last);
    const addr = `0x${(port?.slot ?? 0).toString(16)}`;
    await qemu.qmp.execute('device_add', {
      driver: 'pci-testdev',
      id: 'dev0',
      bus: port?.busName,
      addr,
    });
    const used = (await readPorts(qemu.qmpPath)).filter(({ occupants }) =>
      occupants.includes('/machine/peripheral/dev0'),
    );
    expect(used.map(({ id }) => id)).toEqual([last]);
  });
});

describe('other machines take their plans', () => {
  it.each<[QemuOptions, Partial<BootRequest>, string]>([
    [
      { binary: 'qemu-system-aarch64', machine: 'virt' },
      { rootPorts: 192, firmware: 'ovmf' },
      'native',
    ],
    [
      { binary: 'qemu-system-aarch64', machine: 'virt' },
      { rootPorts: 2, switchPorts: 33, pciBridges: 1, firmware: 'ovmf' },
      'native',
    ],
    [
      { binary: 'qemu-system-riscv64', machine: 'virt', cpu: 'rv64' },
      { rootPorts: 192, firmware: 'ovmf' },
      'native',
    ],
    [
      { binary: 'qemu-system-ppc64', machine: 'pseries', memoryMiB: 512 },
      { pciBridges: 3 },
      'rtas',
    ],
    [{ binary: 'qemu-system-s390x', machine: 's390-ccw-virtio' }, { ccwBridges: 4 }, 'ccw'],
  ])('%o', async (options, change, mechanism) => {
    const plan = planBoot({ ...REQUEST, machine: options.machine ?? '', ...change });
    await using qemu = await startQemu({ ...options, args: plan.args, paused: true });
    const ports = new Map((await readPorts(qemu.qmpPath)).map((port) => [port.id, port]));
    const [first = ''] = plannedIds(plan.ports);
    expect(ports.get(first)?.mechanism).toEqual({ known: true, value: mechanism });
    for (const id of plannedIds(plan.ports)) expect(ports.get(id)?.occupants, id).toEqual([]);
  });
});

it('a pseries is said to be experimental, and what of it was never seen', async () => {
  const binary = 'qemu-system-ppc64';
  const unproven = 'no guest was seen to take or release a device on pseries';
  await using qemu = await startQemu({ binary, machine: 'pseries', memoryMiB: 512, paused: true });
  using home = new CliHome();
  const { stdout } = await home.run(['status', qemu.qmpPath]);
  expect(stdout).toContain(`experimental: ${unproven}`);
  const { document } = await home.json(['status', qemu.qmpPath]);
  expect(document).toMatchObject({ vm: { experimental: unproven } });
});
