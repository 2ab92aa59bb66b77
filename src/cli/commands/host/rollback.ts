import type { Command } from 'commander';
import { rollbackHost, type RollbackResult } from '../../../host/setup/index.js';
import { escapeControl } from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { each, text } from '../../option-values.js';
import { renderSteps } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { addSetupOptions, setupEnvironment, type SetupOptions } from './setup-options.js';

interface RollbackOptions extends SetupOptions {
  readonly forceItem?: readonly string[];
}

const HELP = `
Examples:
  qmplug host rollback
  qmplug host rollback --force-item /etc/modprobe.d/qmplug.conf

Puts back what apply changed, byte for byte, and removes only what it added. What somebody else has changed since is
left and told, with status 7, or 3 where nothing else was put back.

JSON: {"restored":[...],"refused":[{"id","reason","remedy","diff"}],"steps":[{"kind","outcome","ms"}]}`;

export function defineRollback(host: Command, run: RunWork): Command {
  const command = host
    .command('rollback')
    .description('Puts back everything that apply changed on this host.')
    .option(
      '--force-item <id>',
      'put this item back although it was changed since; may be repeated',
      each('--force-item', text),
    )
    .addHelpText('after', HELP);
  return addSetupOptions(command).action((options: RollbackOptions) =>
    run(async (context) => {
      const { output } = context;
      const { forceItem: force = [] } = options;
      const result = await rollbackHost(setupEnvironment(context, options), { force });
      output.result(toJson(result), () => render(result));
      if (result.refused.length === 0) return EXIT.done;
      return result.restored.length === 0 ? EXIT.refused : EXIT.changesPending;
    }),
  );
}

function render({ restored, refused, steps }: RollbackResult): string {
  const lines = [
    ...restored.map((id) => `put back ${id}`),
    ...refused.flatMap(({ reason, remedy, diff = '' }) => [
      `left: ${reason}`,
      `  ${remedy}`,
      ...(diff === '' ? [] : diff.split('\n').map((line) => `    ${line}`)),
    ]),
  ];
  if (lines.length === 0) return 'nothing of ours is here';
  return [...lines.map(escapeControl), ...renderSteps(steps)].join('\n');
}
