import type { Command } from 'commander';
import { isRefused, planHost, type SetupPlan } from '../../../host/setup/index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { toJson } from '../../to-json.js';
import { renderPlan } from './render-setup.js';
import {
  addSetupOptions,
  readDesiredFile,
  setupEnvironment,
  type SetupOptions,
} from './setup-options.js';

interface PlanOptions extends SetupOptions {
  readonly diff?: true;
}

const HELP = `
Examples:
  qmplug host plan host.json
  qmplug host plan host.json --diff
  qmplug host plan host.json --root /path/to/image --json

Writes nothing and needs no root; what cannot be read without is told as unknown. Status 0: everything is as wanted;
7: apply would change something; 3: something is refused, and the items say why.

JSON: {"hash","backend","items":[{"id","subject","state","reason","remedy","diff"}],
       "actions":[{"id","kind","backend","current","wanted","fileDiff","argv","needsRoot","needsReboot","ownership",
       "inverse","risk"}],"notes":[{"item","text"}],"needsReboot"}`;

export function definePlan(host: Command, run: RunWork): Command {
  const command = host
    .command('plan')
    .description('Tells what the desired state calls for on this host. Changes nothing.')
    .argument('<file>', 'the desired state, JSON; - for the standard input')
    .option('--diff', 'show what would change in files')
    .addHelpText('after', HELP);
  return addSetupOptions(command).action((file: string, options: PlanOptions) =>
    run(
      async (context) => {
        const { output } = context;
        const desired = readDesiredFile(file);
        const plan = await planHost(setupEnvironment(context, options), desired);
        output.result(toJson(documentOf(plan)), () =>
          renderPlan(plan, { diff: options.diff === true }),
        );
        return statusOfPlan(plan);
      },
      { changesNothing: true },
    ),
  );
}

/** The steps are the engine's: whoever reads a plan reads its actions. */
export function documentOf({ hash, backend, items, actions, notes, needsReboot }: SetupPlan) {
  return { hash, backend, items, actions, notes, needsReboot };
}

export function statusOfPlan(plan: SetupPlan): number {
  if (isRefused(plan)) return EXIT.refused;
  return plan.actions.length === 0 ? EXIT.done : EXIT.changesPending;
}
