import type { Command } from 'commander';
import { InputError } from '../../index.js';
import { listenUnix, socketPath, type UnixListener } from '../../qmp/index.js';
import { GUESTS, rootPorts, serveSimulated, type QemuConfig } from '../../testing.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { count, each, once, oneOf, size, text } from '../option-values.js';
import { addJsonOption } from '../vm-options.js';

interface SimulateOptions {
  readonly listen: readonly string[];
  readonly qemu?: keyof typeof RELEASES;
  readonly machine?: 'q35';
  readonly ports?: number;
  readonly hotplug?: 'acpi' | 'native';
  readonly guest?: 'linux' | 'none';
  readonly window?: bigint;
  readonly memory?: bigint;
  readonly paused?: true;
  readonly seed?: string;
}

/** The releases that the simulator was held to. */
const RELEASES = { '7.2': '7.2.22', '10.0': '10.0.13' } as const;
const DEFAULT_PORTS = 4;
/** Device numbers of pcie.0 from the first port's on; 1f is the chipset's (hw/i386/pc_q35.c). */
const FIRST_DEVICE = 2;
const MAX_PORTS = 0x1f - FIRST_DEVICE;

const HELP = `
Examples:
  qmplug simulate --listen ./vm.sock
  qmplug simulate --listen ./vm.sock --listen ./vm2.sock --qemu 10.0 --hotplug native --ports 8

No QEMU runs: a model of it answers, with the replies, refusals and delays of the real one, and a model of a guest.
Every --listen is a monitor of its own, for example for qmplug attach unix:./vm.sock. Emulated devices come and go; a host device is refused (VM_NOT_LOCAL), for
there is no QEMU process to give it to. It ends with Ctrl-C, or when a client says quit.

JSON: {"simulating":{"qemu","machine","listen":[...],"ports":[...],"guest"}}, once it listens.`;

export function defineSimulate(program: Command, run: RunWork): Command {
  const command = program
    .command('simulate')
    .description('Serves a simulated QEMU on a socket, to try qmplug without QEMU.')
    .requiredOption('--listen <socket>', 'where its monitor listens', each('--listen', text))
    .option('--qemu <version>', '7.2 or 10.0 (default: 7.2)', once('--qemu', oneOf('7.2', '10.0')))
    .option('--machine <type>', 'q35 (default: q35)', once('--machine', oneOf('q35')))
    .option('--ports <n>', `root ports (default: ${DEFAULT_PORTS})`, once('--ports', count))
    .option(
      '--hotplug <how>',
      'acpi or native (default: acpi)',
      once('--hotplug', oneOf('acpi', 'native')),
    )
    .option(
      '--guest <kind>',
      'linux, or none: firmware that answers nothing (default: linux)',
      once('--guest', oneOf('linux', 'none')),
    )
    .option('--window <size>', '64-bit window of each port', once('--window', size))
    .option('--memory <size>', 'RAM of the VM (default: 256M)', once('--memory', size))
    .option('--paused', 'nothing runs until a client says cont')
    .option('--seed <text>', 'what its delays are drawn from (default: 0)', once('--seed', text))
    .addHelpText('after', HELP);
  return addJsonOption(command).action((options: SimulateOptions) =>
    run((context) => simulate(options, context), { changesNothing: true }),
  );
}

async function simulate(
  options: SimulateOptions,
  { environment, output, signal }: CommandContext,
): Promise<number> {
  const { listen, seed, guest = 'linux' } = options;
  const config = configOf(options);
  for (const where of listen) socketPath(where);
  const monitors: UnixListener[] = [];
  try {
    for (const where of listen) monitors.push(await listenUnix(where));
    const { ended } = serveSimulated({
      config,
      seed,
      monitors: monitors.map((clients) => ({ address: clients.address, clients })),
      clock: environment.clock,
      signal,
    });
    const qemu = config.release ?? RELEASES['7.2'];
    const ports = (config.devices ?? []).map(({ id = '' }) => id);
    const addresses = monitors.map(({ address }) => address);
    output.result(
      { simulating: { qemu, machine: 'q35', listen: addresses, ports, guest } },
      () => `simulated QEMU ${qemu}, q35 with ${ports.join(' ')}, at ${addresses.join(' ')}`,
    );
    output.note('emulated devices only: no host device can be given to a simulated VM');
    const how = await ended;
    if (how === 'quit') output.note('a client has ended it');
    return EXIT.done;
  } finally {
    for (const monitor of monitors) await monitor.close();
  }
}

function configOf(options: SimulateOptions): QemuConfig {
  const { qemu = '7.2', ports = DEFAULT_PORTS, hotplug, guest = 'linux', window, memory } = options;
  if (ports > MAX_PORTS) {
    throw new InputError('BAD_ARGUMENT', `--ports: expected at most ${MAX_PORTS}, got ${ports}`, {
      remedy: `give --ports ${MAX_PORTS} or fewer`,
    });
  }
  const reserve = window === undefined ? {} : { 'pref64-reserve': window };
  return {
    release: RELEASES[qemu],
    ...(hotplug === undefined ? {} : { hotplug }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    devices: rootPorts(ports, { firstDevice: FIRST_DEVICE, properties: reserve }),
    startPaused: options.paused === true,
    guest: guest === 'none' ? GUESTS.absent : GUESTS.linux,
  };
}
