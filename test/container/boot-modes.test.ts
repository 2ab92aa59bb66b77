import { describe, expect, it } from 'vitest';
import { CliHome } from '../cli/run-cli.js';
import { QEMU_VERSIONS, startQemu, type QemuProgram, type QemuVersion } from '../support/qemu.js';

interface PlannedPort {
  readonly id: string;
  readonly kind: string;
}

interface Mode {
  readonly name: string;
  /** What `boot-args` is asked for. */
  readonly options: readonly string[];
  readonly program: QemuProgram;
  readonly machine: string;
  /** Of QEMU, besides the plan's. */
  readonly machineArgs?: readonly string[];
  /** Versions that have no such machine or setting. */
  readonly without?: readonly QemuVersion[];
}

const Q35 = { program: 'qemu-system-x86_64', machine: 'q35' } as const;
const PC = { program: 'qemu-system-x86_64', machine: 'pc' } as const;
const VIRT = { program: 'qemu-system-aarch64', machine: 'virt' } as const;
const S390X = { program: 'qemu-system-s390x', machine: 's390-ccw-virtio' } as const;

/** What `--numa` counts on. */
const NODES = [0, 1].flatMap((node) => [
  ...['-object', `memory-backend-ram,id=mem${node},size=64M`],
  ...['-numa', `node,nodeid=${node},memdev=mem${node}`],
]);

/** A line for each kind of ports that can be planned. */
const MODES: readonly Mode[] = [
  { name: 'root ports of a q35', options: ['--root-ports', '40'], ...Q35 },
  {
    name: 'root ports with windows',
    options: ['--root-ports', '4', '--window', '4G', '--memory-window', '32M'],
    ...Q35,
  },
  {
    name: 'native root ports',
    options: ['--root-ports', '4', '--hotplug', 'native'],
    ...Q35,
    without: ['5.2'],
  },
  { name: 'switch ports', options: ['--switch-ports', '34'], ...Q35 },
  { name: 'bridges of a q35', options: ['--pci-bridges', '2'], ...Q35 },
  {
    name: 'ports of every kind on two NUMA nodes',
    options: [
      ...['--numa', '0,1', '--root-ports', '4', '--switch-ports', '2', '--pci-bridges', '2'],
    ],
    machineArgs: NODES,
    ...Q35,
  },
  { name: 'bridges of a pc', options: ['--pci-bridges', '3'], ...PC },
  {
    name: 'ports of every kind of an Arm machine',
    options: ['--root-ports', '4', '--switch-ports', '2', '--pci-bridges', '1'],
    ...VIRT,
  },
  { name: 'blocks of device numbers', options: ['--ccw-bridges', '4'], ...S390X },
];

/** Ports by id as a running VM has them: a bridge has one for each slot that takes hot-plug. */
function idsOf({ id, kind }: PlannedPort): readonly string[] {
  if (kind !== 'pci-bridge' && kind !== 'pcie-pci-bridge') return [id];
  return Array.from({ length: 31 }, (_, index) => `${id}.${index + 1}`);
}

describe.each(MODES)('$name', ({ options, program, machine, machineArgs = [], without = [] }) => {
  it.each(QEMU_VERSIONS.filter((version) => !without.includes(version)))(
    'start in QEMU %s, each free',
    async (version) => {
      using home = new CliHome();
      const answer = await home.json([
        ...['boot-args', '--machine', machine, '--memory', '128M', ...options],
      ]);
      expect(answer.status).toBe(0);
      const { args, ports } = answer.document as {
        args: readonly string[];
        ports: readonly PlannedPort[];
      };
      await using qemu = await startQemu({
        ...{ version, program, machine, paused: true },
        args: [...machineArgs, ...args],
      });
      const status = await home.json(['status', qemu.qmpPath]);
      expect(status).toMatchObject({ status: 0, stderr: '' });
      const found = status.document.ports as readonly { id: string; state: string }[];
      const free = found.filter(({ state }) => state === 'free').map(({ id }) => id);
      const planned = new Set(ports.flatMap(idsOf));
      expect(new Set(free.filter((id) => planned.has(id)))).toEqual(planned);
      // Other machines have ports of their own besides.
      if (machine === 'q35') expect(free).toHaveLength(planned.size);
    },
  );
});
