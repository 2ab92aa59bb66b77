import type { Command } from 'commander';
import { escapeControl, type DetachResult, type Vm } from '../../index.js';
import { plannedDetach, type DetachDocument } from '../dry-run.js';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { each, reason } from '../option-values.js';
import { renderSteps } from '../render-attach.js';
import { toJson } from '../to-json.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

interface DetachOptions extends VmOptions {
  readonly allow?: readonly string[];
  readonly dryRun?: true;
  readonly wait: boolean;
}

const HELP = `
Examples:
  qmplug detach /run/vm.sock 0000:3b:00.0
  qmplug detach /run/vm.sock vfio_device_17_0 --timeout 60
  qmplug detach /run/vm.sock practice0 --no-wait

What is gone already is a success; a removal that is under way is joined. At the deadline the state is "pending"
and the status 5: nothing was freed, and a later detach, status or recover finishes it. With --no-wait the
status is 0 once the guest was asked.

JSON: {"removals":[{"id","state","ms"}],"steps":[{"kind","outcome","ms"}]}`;

export function defineDetach(program: Command, run: RunWork): Command {
  const command = program
    .command('detach')
    .description('Takes a device out of a VM and gives it back to its host driver.')
    .argument('<vm>', "the VM's QMP monitor")
    .argument('<device>', 'its id in the VM, or its host address')
    .option('--dry-run', 'print the steps and change nothing')
    .option('--no-wait', 'return once the guest was asked')
    .option(
      '--allow <reason>',
      'pass over a refusal by its name, for example slot-mates; may be repeated',
      each('--allow', reason),
    )
    .addHelpText('after', HELP);
  return addVmOptions(command).action((address: string, device: string, options: DetachOptions) =>
    run(async (context) => {
      const { output } = context;
      const { allow, wait, dryRun } = options;
      const { document, pending } = await withVm(address, options, context, (vm, waiting) =>
        dryRun
          ? preview(vm, device, allow)
          : detach(vm.detach(device, { ...waiting, wait, allow })),
      );
      output.result(toJson(document), () => renderDetach(document));
      if (pending === undefined) return EXIT.done;
      output.note(`still pending: ${pending}; nothing was freed yet`);
      output.note(`finish it later: qmplug detach ${address} ${device}`);
      return wait ? EXIT.pending : EXIT.done;
    }),
  );
}

interface Answer {
  readonly document: DetachDocument;
  readonly pending: string | undefined;
}

async function detach(detaching: Promise<DetachResult>): Promise<Answer> {
  const { removals, steps, pending } = await detaching;
  return { document: { removals, steps }, pending };
}

async function preview(
  vm: Vm,
  device: string,
  allow: readonly string[] | undefined,
): Promise<Answer> {
  const plan = await vm.planDetach(device, { allow });
  const document: DetachDocument =
    plan === 'gone'
      ? { removals: [{ id: device, state: 'released', ms: 0 }], steps: [] }
      : plannedDetach(plan);
  return { document, pending: undefined };
}

function renderDetach({ removals, steps }: DetachDocument): string {
  const lines = removals.map(({ id, state, ms }) => {
    const name = escapeControl(id);
    if (state === 'planned') return `would detach ${name}`;
    return steps.length === 0
      ? `${name}: not in the VM`
      : `${name}: ${state} (${ms.toFixed(0)} ms)`;
  });
  return [...lines, ...renderSteps(steps)].join('\n');
}
