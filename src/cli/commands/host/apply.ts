import type { Command } from 'commander';
import { applyHost, type ApplyResult } from '../../../host/setup/index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { once, text } from '../../option-values.js';
import { renderSteps } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { renderItems } from './render-setup.js';
import {
  addSetupOptions,
  readDesiredFile,
  setupEnvironment,
  type SetupOptions,
} from './setup-options.js';
import { isWrong } from './verify.js';

interface ApplyOptions extends SetupOptions {
  readonly plan?: string;
}

const HELP = `
Examples:
  qmplug host apply host.json
  qmplug host apply host.json --plan 9e00e6586d15d037f7ef

Changes what can be had and leaves the rest, which the items tell. A failure on the way undoes everything. Nothing
is rebooted. Status 0: everything is as wanted, now or from the next boot on; 7: something is not; 3: nothing
could be changed.

JSON: {"items":[...],"steps":[{"kind","outcome","ms"}],"needsReboot"}`;

export function defineApply(host: Command, run: RunWork): Command {
  const command = host
    .command('apply')
    .description('Makes the host as desired, and keeps a journal to put it back.')
    .argument('<file>', 'the desired state, JSON; - for the standard input')
    .option('--plan <hash>', 'apply exactly the plan that was reviewed', once('--plan', text))
    .addHelpText('after', HELP);
  return addSetupOptions(command).action((file: string, options: ApplyOptions) =>
    run(async (context) => {
      const { output } = context;
      const desired = readDesiredFile(file);
      const result = await applyHost(setupEnvironment(context, options), desired, {
        reviewed: options.plan,
      });
      const { items, steps, needsReboot, plan } = result;
      output.result(toJson({ items, steps, needsReboot, notes: plan.notes }), () => render(result));
      return statusOf(result);
    }),
  );
}

function statusOf({ items, steps }: ApplyResult): number {
  if (!items.some(isWrong)) return EXIT.done;
  return steps.length === 0 ? EXIT.refused : EXIT.changesPending;
}

function render({ items, steps, needsReboot, plan }: ApplyResult): string {
  return [
    ...renderItems(items),
    ...(steps.length === 0 ? ['', 'nothing was changed'] : ['', ...renderSteps(steps)]),
    ...plan.notes.flatMap(({ text }) => ['', text]),
    ...(needsReboot ? ['', 'some of it counts from the next boot on'] : []),
  ].join('\n');
}
