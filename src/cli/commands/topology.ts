import type { Command } from 'commander';
import {
  InputError,
  isJsonObject,
  renderTopology,
  topologyOf,
  topologyToJson,
  type JsonObject,
} from '../../index.js';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { once, oneOf } from '../option-values.js';
import { toJson } from '../to-json.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

interface TopologyOptions extends VmOptions {
  readonly format?: 'tree' | 'json';
  readonly json?: true;
}

const HELP = `
Examples:
  qmplug topology /run/vm.sock
  qmplug topology /run/vm.sock --format json

JSON: what status prints, and {"roots":[...],"elsewhere":[...]} with the tree.`;

export function defineTopology(program: Command, run: RunWork): Command {
  const command = program
    .command('topology')
    .description(
      'Prints the devices of a VM as a tree, with the windows of its ports. Changes nothing.',
    )
    .argument('<vm>', "the VM's QMP monitor")
    .option(
      '--format <format>',
      'tree or json (default: tree)',
      once('--format', oneOf('tree', 'json')),
    )
    .addHelpText('after', HELP);
  return addVmOptions(command).action((address: string, options: TopologyOptions) =>
    run(
      async (context) => {
        const format = formatOf(options);
        const { topology, status } = await withVm(address, options, context, async (vm) => ({
          topology: topologyOf(await vm.snapshot()),
          status: format === 'json' ? await vm.inspect() : undefined,
        }));
        const document = { ...members(toJson(status)), ...topologyToJson(topology) };
        const shape = format === 'json' ? 'json' : 'text';
        context.output.result(document, () => renderTopology(topology), shape);
        return EXIT.done;
      },
      { changesNothing: true },
    ),
  );
}

function members(value: ReturnType<typeof toJson>): JsonObject {
  return isJsonObject(value) ? value : {};
}

function formatOf({ format, json }: TopologyOptions): 'tree' | 'json' {
  if (format === 'tree' && json) {
    throw new InputError('BAD_ARGUMENT', '--json and --format tree exclude each other', {
      remedy: 'leave one of them out',
    });
  }
  return json ? 'json' : (format ?? 'tree');
}
