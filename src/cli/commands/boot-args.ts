import type { Command } from 'commander';
import {
  bootPlanToJson,
  InputError,
  planBoot,
  portNeeds,
  profileOfArgument,
  readHostSnapshot,
  selectDevice,
  type Bar,
  type BootRequest,
  type Environment,
  type Firmware,
  type PortNeed,
  type Members,
  type PlannableKind,
} from '../../index.js';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { count, counts, each, once, oneOf, size, text } from '../option-values.js';
import { shellWords } from '../shell-words.js';
import { addJsonOption } from '../vm-options.js';

interface BootOptions {
  readonly machine?: string;
  readonly rootPorts?: number;
  readonly switchPorts?: number;
  readonly pciBridges?: number;
  readonly ccwBridges?: number;
  readonly numa?: readonly number[];
  readonly window?: bigint;
  readonly memoryWindow?: bigint;
  readonly for?: readonly string[];
  readonly members?: Members;
  readonly firmware?: Firmware;
  readonly memory?: bigint;
  readonly hotplugMemory?: bigint;
  readonly physBits?: number;
  readonly hotplug?: 'acpi' | 'native';
  readonly firstDevice?: number;
  readonly portLimit?: number;
  readonly mmio64?: bigint;
}

const DEFAULT_MEMORY = 4n << 30n;

const HELP = `
Examples:
  qmplug boot-args --root-ports 8 --window 16G --memory 64G
  qmplug boot-args --root-ports 2 --for 0000:3b:00.0 --phys-bits 46
  qmplug boot-args --root-ports 4 --for 0000:3b:00.0 --members group
  qmplug boot-args --root-ports 8 --numa 0,1
  qmplug boot-args --switch-ports 64
  qmplug boot-args --machine pc --pci-bridges 2
  qemu-system-x86_64 -machine q35 -nodefaults $(qmplug boot-args --root-ports 4) ...

With --numa the nodes are yours to define: -object memory-backend-ram and -numa node, as the note says.

JSON: {"args":[...],"ports":[{"id","kind","bus","chassis","slot","addr","window"}]}; with "capacity"
where a port takes more than one device, "numaNode" and "expects" with --numa, "experimental" where no guest
was seen to use such ports.`;

export function defineBootArgs(program: Command, run: RunWork): Command {
  const command = program
    .command('boot-args')
    .description('Prints QEMU arguments for the ports of a VM that is about to be started.')
    .option(
      '--machine <type>',
      'q35, pc, virt, pseries or s390-ccw-virtio, with or without version (default: q35)',
      once('--machine', text),
    )
    .option(
      '--root-ports <n>',
      'root ports, one per device (default where no ports are asked for: 8)',
      once('--root-ports', count),
    )
    .option(
      '--switch-ports <n>',
      'ports of switches, 32 to a switch',
      once('--switch-ports', count),
    )
    .option(
      '--pci-bridges <n>',
      'bridges of conventional PCI, 31 slots each (default on pc and pseries: 1)',
      once('--pci-bridges', count),
    )
    .option(
      '--ccw-bridges <n>',
      'blocks of 65,536 device numbers on s390x, at most 4 (default there: 1)',
      once('--ccw-bridges', count),
    )
    .option(
      '--numa <nodes>',
      'spread the ports evenly over these nodes of the guest, for example 0,1',
      once('--numa', counts),
    )
    .option(
      '--window <size>',
      '64-bit prefetchable BARs that every port must take, in sum',
      once('--window', size),
    )
    .option(
      '--memory-window <size>',
      'BARs below 4 GiB that every port must take, in sum',
      once('--memory-window', size),
    )
    .option(
      '--for <device>',
      'make room for the BARs of a host device: in every port or, where it is given several times, one port each',
      each('--for', text),
    )
    .option(
      '--members <what>',
      'device, slot or group: what of --for will go along; each slot of the host takes a port (default: device)',
      once('--members', oneOf('device', 'slot', 'group')),
    )
    .option(
      '--firmware <name>',
      'seabios or ovmf (default: seabios)',
      once('--firmware', oneOf('seabios', 'ovmf')),
    )
    .option('--memory <size>', 'RAM of the VM (default: 4G)', once('--memory', size))
    .option(
      '--hotplug-memory <size>',
      'RAM that may be hot-plugged on top',
      once('--hotplug-memory', size),
    )
    .option(
      '--phys-bits <n>',
      "width of the guest's physical addresses (default: 40, what QEMU's own CPU models have)",
      once('--phys-bits', count),
    )
    .option(
      '--hotplug <how>',
      'acpi or native (default: what the machine type does)',
      once('--hotplug', oneOf('acpi', 'native')),
    )
    .option(
      '--first-device <n>',
      'first device number of pcie.0 that ports may use (default: 2)',
      once('--first-device', count),
    )
    .option('--port-limit <n>', 'most ports to plan (default: 192)', once('--port-limit', count))
    .option('--mmio64 <size>', 'ask OVMF for a 64-bit window of this size', once('--mmio64', size))
    .addHelpText('after', HELP);
  return addJsonOption(command).action((options: BootOptions) =>
    run(async ({ environment, output }) => {
      const plan = planBoot(await requestOf(options, environment));
      output.result(bootPlanToJson(plan), () => shellWords(plan.args));
      for (const expected of plan.expects) output.note(`the plan counts on this: ${expected}`);
      if (plan.experimental !== undefined) output.note(`experimental: ${plan.experimental}`);
      return EXIT.done;
    }),
  );
}

async function requestOf(options: BootOptions, environment: Environment): Promise<BootRequest> {
  const machine = options.machine ?? 'q35';
  const { usual } = profileOfArgument(machine).boot;
  const { rootPorts, switchPorts, pciBridges, ccwBridges } = options;
  const asked = [rootPorts, switchPorts, pciBridges, ccwBridges].some((n) => n !== undefined);
  const usually = (kind: PlannableKind) => (!asked && usual.kind === kind ? usual.count : 0);
  // The virtual platforms have no SeaBIOS.
  const usualFirmware = machine.startsWith('virt') ? 'ovmf' : 'seabios';
  return {
    machine,
    rootPorts: rootPorts ?? usually('root-port'),
    switchPorts,
    pciBridges: pciBridges ?? usually('pci-bridge'),
    ccwBridges: ccwBridges ?? usually('ccw-bridge'),
    numaNodes: options.numa,
    firstDevice: options.firstDevice,
    portLimit: options.portLimit,
    firmware: options.firmware ?? usualFirmware,
    memoryBytes: options.memory ?? DEFAULT_MEMORY,
    hotplugMemoryBytes: options.hotplugMemory,
    physBits: options.physBits,
    windowBytes: options.window,
    memoryWindowBytes: options.memoryWindow,
    barsPerPort: await barsOf(options, environment),
    hotplug: options.hotplug,
    mmio64Bytes: options.mmio64,
  };
}

/** One list of BARs for each port that the devices will take, in the order they were named. */
async function barsOf(
  { for: devices = [], members }: BootOptions,
  { effects }: Environment,
): Promise<readonly (readonly Bar[])[] | undefined> {
  if (devices.length === 0) {
    if (members === undefined) return undefined;
    throw new InputError('BAD_ARGUMENT', '--members says what goes along with --for', {
      remedy: 'name the device: --for 0000:3b:00.0',
    });
  }
  const host = await readHostSnapshot(effects);
  const needs: PortNeed[] = [];
  for (const device of devices) {
    const bdf = await selectDevice({ effects }, device, { guarded: false });
    needs.push(...portNeeds(host, bdf, members ?? 'device'));
  }
  const ports = new Map(needs.map(({ functions, bars }) => [functions.join(), bars]));
  return [...ports.values()];
}
