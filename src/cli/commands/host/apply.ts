import type { Command } from 'commander';
import { examineDesired } from '../../../doctor/index.js';
import { applyHost, type ApplyResult } from '../../../host/setup/index.js';
import type { RunWork } from '../../command-context.js';
import { doctorReads } from '../../doctor-reads.js';
import { EXIT } from '../../exit-status.js';
import { once, text } from '../../option-values.js';
import { renderSteps } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { renderExamined, renderItems, type Examined } from './render-setup.js';
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
could be changed. The doctor looks at the machine and the early devices before and after; what it finds changes no
status.

JSON: {"items":[...],"steps":[{"kind","outcome","ms"}],"needsReboot","notes","doctor":{"before":[...],"after":[...]}}
"doctor" has the findings that fail or warn, and is null with --root.`;

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
      const examine = () => examineDesired({ ...doctorReads(context), desired });
      // Nothing of an image runs, so that there is nothing to find.
      const before = options.root === undefined ? await examine() : undefined;
      const result = await applyHost(setupEnvironment(context, options), desired, {
        reviewed: options.plan,
      });
      const { items, steps, needsReboot, plan } = result;
      const after = before === undefined || steps.length === 0 ? before : await examine();
      const doctor = before === undefined || after === undefined ? null : { before, after };
      output.result(toJson({ items, steps, needsReboot, notes: plan.notes, doctor }), () =>
        render(result, doctor),
      );
      return statusOf(result);
    }),
  );
}

function statusOf({ items, steps }: ApplyResult): number {
  if (!items.some(isWrong)) return EXIT.done;
  return steps.length === 0 ? EXIT.refused : EXIT.changesPending;
}

function render({ items, steps, needsReboot, plan }: ApplyResult, doctor: Examined | null): string {
  return [
    ...renderItems(items),
    ...(steps.length === 0 ? ['', 'nothing was changed'] : ['', ...renderSteps(steps)]),
    ...plan.notes.flatMap(({ text }) => ['', text]),
    ...(needsReboot ? ['', 'some of it counts from the next boot on'] : []),
    ...(doctor === null ? [] : renderExamined(doctor)),
  ].join('\n');
}
