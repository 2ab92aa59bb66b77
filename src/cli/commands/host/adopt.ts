import type { Command } from 'commander';
import { adoptItem } from '../../../host/setup/index.js';
import { escapeControl } from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { text } from '../../option-values.js';
import { toJson } from '../../to-json.js';
import {
  addSetupOptions,
  readDesiredFile,
  setupEnvironment,
  type SetupOptions,
} from './setup-options.js';

const HELP = `
Examples:
  qmplug host adopt host.json /etc/udev/rules.d/99-kvmfr.rules
  qmplug host adopt host.json iommu=pt

From then on the item is ours: a rollback, or a desired state without it, removes it.

JSON: {"adopted":{"id","subject","state"}}`;

export function defineAdopt(host: Command, run: RunWork): Command {
  const command = host
    .command('adopt')
    .description('Takes an item that is there already as ours. Changes nothing but the journal.')
    .argument('<file>', 'the desired state, JSON; - for the standard input')
    .argument('<item>', 'a path or an argument, as plan shows it', (value: string) =>
      text(value, 'item'),
    )
    .addHelpText('after', HELP);
  return addSetupOptions(command).action((file: string, subject: string, options: SetupOptions) =>
    run(async (context) => {
      const { output } = context;
      const desired = readDesiredFile(file);
      const adopted = await adoptItem(setupEnvironment(context, options), desired, subject);
      output.result(toJson({ adopted }), () => escapeControl(`${adopted.subject} is ours now`));
      return EXIT.done;
    }),
  );
}
