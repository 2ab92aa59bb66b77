import type { Command } from 'commander';
import {
  addChoiceOptions,
  chooseDevices,
  describeResolution,
  type ChoiceOptions,
} from '../../choose-devices.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { exportSelection, FORMATS, type ExportFormat } from '../../export-selection.js';
import { once, oneOf } from '../../option-values.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface ResolveCommandOptions extends ChoiceOptions {
  readonly format?: ExportFormat;
}

const HELP = `
Examples:
  qmplug host resolve 'id:10de:2204 numa:0'
  qmplug host resolve class:gpu --policy first:2 --distinct numa --json
  qmplug host resolve 'class:nvme bar>=16K' --policy group-by:numa:first:1
  qmplug host resolve 0000:3b:00.0 --pin /etc/qmplug/gpu0.pin
  qmplug host resolve 'class:gpu numa:0' --format libvirt

Prints the addresses, one a line, in the order of the choice. Devices that the host uses or that others have
reserved are passed over. Changes nothing.

JSON: {"selector","selectorHash","snapshotHash","policy","order","chosen":[...],"companions":[...],
       "classes":{...},"rejected":[{"bdf","reason","rule","evidence","matched","failed"}],"reservedUntil",
       "placement":[{"name","node","penalty"}],"notes":[...]}`;

export function defineHostResolve(host: Command, run: RunWork): Command {
  const command = host
    .command('resolve')
    .description('Prints the devices that a selector means.')
    .argument('<selector>', 'an address, terms, or the structured form as JSON')
    .option(
      '--format <format>',
      'print them as libvirt, nova or microvm take them',
      once('--format', oneOf(...FORMATS)),
    )
    .addHelpText('after', HELP);
  return addJsonOption(addChoiceOptions(command)).action(
    (selector: string, options: ResolveCommandOptions) =>
      run(
        async (context) => {
          const { resolution } = await chooseDevices(context, selector, options);
          const { chosen, companions } = resolution;
          context.output.result(toJson(describeResolution(resolution)), () =>
            options.format === undefined
              ? [...chosen, ...companions].map(({ name }) => name).join('\n')
              : exportSelection(options.format, [...chosen, ...companions]),
          );
          return EXIT.done;
        },
        { changesNothing: true },
      ),
  );
}
