import type { Command } from 'commander';
import { HostControl, type ReleaseDevicesRequest, type ReleaseResult } from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { once, oneOf, seconds } from '../../option-values.js';
import { renderSteps, type StepLine } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface ReleaseOptions {
  readonly members?: 'device' | 'slot' | 'group';
  readonly dryRun?: true;
  readonly timeout?: number;
}

interface ReleaseDocument {
  readonly released: readonly (Omit<ReleaseResult['released'][number], 'state'> & {
    readonly state: ReleaseResult['released'][number]['state'] | 'planned';
  })[];
  readonly steps: readonly StepLine[];
}

const HELP = `
Examples:
  qmplug host release 0000:3b:00.0
  qmplug host release 0000:3b:00.0 0000:5e:00.0 --members group --dry-run

Driver and override come back exactly as host bind found them. What it did not take, or has given back, is left
alone and a success; what a VM has is refused.

JSON: {"released":[{"bdf","state","driver"}],"steps":[{"kind","outcome","ms"}]}`;

export function defineHostRelease(host: Command, run: RunWork): Command {
  const command = host
    .command('release')
    .description('Gives devices that host bind took back to their drivers.')
    .argument('<device...>', 'devices of the host')
    .option('--dry-run', 'print the steps and change nothing')
    .option(
      '--members <what>',
      'device, slot or group: what goes along (default: device)',
      once('--members', oneOf('device', 'slot', 'group')),
    )
    .option('--timeout <s>', 'seconds to wait for others (default: 15)', once('--timeout', seconds))
    .addHelpText('after', HELP);
  return addJsonOption(command).action((devices: readonly string[], options: ReleaseOptions) =>
    run(async ({ environment, output, signal }) => {
      const control = new HostControl(environment);
      const { members, dryRun, timeout: timeoutMs } = options;
      const request = { devices, members };
      const document = dryRun
        ? await preview(control, request)
        : await control.release(request, { timeoutMs, signal });
      output.result(toJson(document), () => renderRelease(document));
      return EXIT.done;
    }),
  );
}

async function preview(
  control: HostControl,
  request: ReleaseDevicesRequest,
): Promise<ReleaseDocument> {
  const steps = (await control.planRelease(request))?.steps ?? [];
  return {
    released: steps.flatMap((step) =>
      step.kind === 'RestoreDriver'
        ? [{ bdf: step.bdf, state: 'planned' as const, driver: undefined }]
        : [],
    ),
    steps: steps.map(({ kind }) => ({ kind, outcome: 'planned', ms: 0 })),
  };
}

const WORDS = { planned: 'would release', released: 'released', already: 'nothing to release:' };

function renderRelease({ released, steps }: ReleaseDocument): string {
  const lines = released.map(({ bdf, state, driver }) => {
    const now = state === 'planned' ? '' : ` (${driver ?? 'no driver'})`;
    return `${WORDS[state]} ${bdf}${now}`;
  });
  if (lines.length === 0) lines.push('nothing to release');
  return [...lines, ...renderSteps(steps)].join('\n');
}
