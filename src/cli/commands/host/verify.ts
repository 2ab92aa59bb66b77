import type { Command } from 'commander';
import { planHost, type SetupItem, type SetupPlan } from '../../../host/setup/index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { toJson } from '../../to-json.js';
import { renderItems } from './render-setup.js';
import {
  addSetupOptions,
  readDesiredFile,
  setupEnvironment,
  type SetupOptions,
} from './setup-options.js';

const HELP = `
Examples:
  qmplug host verify host.json
  qmplug host verify host.json --json

Compares what is wanted with what is configured and what runs: command line, boot menu, initramfs, files. For every
boot: an update may have taken something away. Status 0: all of it holds now; 7: something does not, or not yet.

JSON: {"verified","items":[{"id","subject","state","reason","remedy","diff"}],"needsReboot"}`;

export function defineVerify(host: Command, run: RunWork): Command {
  const command = host
    .command('verify')
    .description('Tells whether the host is as desired. Changes nothing.')
    .argument('<file>', 'the desired state, JSON; - for the standard input')
    .addHelpText('after', HELP);
  return addSetupOptions(command).action((file: string, options: SetupOptions) =>
    run(
      async (context) => {
        const { output } = context;
        const desired = readDesiredFile(file);
        const plan = await planHost(setupEnvironment(context, options), desired);
        const { items, notes, needsReboot } = plan;
        const verified = isVerified(plan);
        output.result(toJson({ verified, items, notes, needsReboot }), () =>
          [...renderItems(items), '', verified ? 'as wanted' : 'not as wanted'].join('\n'),
        );
        return verified ? EXIT.done : EXIT.changesPending;
      },
      { changesNothing: true },
    ),
  );
}

function isVerified({ items, actions }: SetupPlan): boolean {
  return (
    actions.length === 0 && items.every(({ state }) => state === 'ok' || state === 'foreign-ok')
  );
}

/** Whether an item is not as wanted, a reboot apart. */
export function isWrong({ state }: SetupItem): boolean {
  return state !== 'ok' && state !== 'foreign-ok' && state !== 'pending-reboot';
}
