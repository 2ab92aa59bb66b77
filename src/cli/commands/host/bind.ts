import type { Command } from 'commander';
import {
  HostControl,
  type BindDevicesRequest,
  type BindResult,
  type DriverWish,
} from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import {
  DRIVER_ABOUT,
  driverWish,
  each,
  once,
  oneOf,
  reason,
  seconds,
} from '../../option-values.js';
import { addTakingOptions, readRules, type TakingOptions } from '../../policy-rules.js';
import { renderSteps, type StepLine } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface BindOptions extends TakingOptions {
  readonly members?: 'device' | 'slot' | 'group';
  readonly allow?: readonly string[];
  readonly driver?: DriverWish;
  readonly dryRun?: true;
  readonly timeout?: number;
}

interface BindDocument {
  readonly bound: BindResult['bound'];
  readonly steps: readonly StepLine[];
}

const HELP = `
Examples:
  qmplug host bind 0000:3b:00.0
  qmplug host bind 0000:3b:00.0 0000:5e:00.0 --members group --dry-run
  qmplug host bind 'class:gpu numa:0' --policy-file /etc/qmplug/policy --reserved-for training

All or none. They stay bound until host release or a reboot, and any VM may have them: one that is started
with them, or by attach, which then finds them ready. What is bound so already is a success. With --driver keep they
are checked, and nothing is bound.

JSON: {"bound":[{"bdf","group","driver","already"}],"steps":[{"kind","outcome","ms"}]}`;

export function defineHostBind(host: Command, run: RunWork): Command {
  const command = host
    .command('bind')
    .description('Takes devices from their drivers and binds them to VFIO.')
    .argument('<device...>', 'devices of the host')
    .option('--dry-run', 'print the steps and change nothing')
    .option(
      '--members <what>',
      'device, slot or group: what goes along (default: device)',
      once('--members', oneOf('device', 'slot', 'group')),
    )
    .option(
      '--allow <reason>',
      'pass over a finding by its name, for example in-use.net; may be repeated',
      each('--allow', reason),
    )
    .option('--driver <driver>', DRIVER_ABOUT, once('--driver', driverWish))
    .option('--timeout <s>', 'seconds to wait for others (default: 15)', once('--timeout', seconds))
    .addHelpText('after', HELP);
  return addJsonOption(addTakingOptions(command)).action(
    (devices: readonly string[], options: BindOptions) =>
      run(async (context) => {
        const { environment, output, signal } = context;
        const { members, allow, reservedFor, driver, dryRun, timeout: timeoutMs } = options;
        const control = new HostControl(environment);
        const { rules } = await readRules(context, options, reservedFor);
        const request = { devices, members, allow, reservedFor, driver, rules };
        const document = dryRun
          ? await preview(control, request)
          : await control.bind(request, { timeoutMs, signal });
        output.result(toJson(document), () => renderBind(document));
        return EXIT.done;
      }),
  );
}

async function preview(control: HostControl, request: BindDevicesRequest): Promise<BindDocument> {
  const plan = await control.planBind(request);
  const steps = (plan?.steps ?? []).map(({ kind }): StepLine => ({
    kind,
    outcome: 'planned',
    ms: 0,
  }));
  const bound = (plan?.steps ?? []).flatMap((step) =>
    step.kind === 'BindDriver'
      ? [{ bdf: step.bdf, group: step.group, driver: step.driver, already: false }]
      : [],
  );
  return { bound, steps };
}

function renderBind({ bound, steps }: BindDocument): string {
  const isPlanned = steps.some(({ outcome }) => outcome === 'planned');
  const lines = bound.map(({ bdf, group, driver, already }) => {
    const done = already ? 'already bound' : isPlanned ? 'would bind' : 'bound';
    return `${done} ${bdf} to ${driver} (IOMMU group ${group})`;
  });
  if (lines.length === 0) lines.push('nothing to bind');
  return [...lines, ...renderSteps(steps)].join('\n');
}
