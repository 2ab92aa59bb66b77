import type { Command } from 'commander';
import {
  ConnectError,
  escapeControl,
  recoverHost,
  RefusedError,
  type RecoveryResult,
} from '../../index.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { toJson } from '../to-json.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

const HELP = `
Examples:
  qmplug recover /run/vm.sock
  qmplug recover

With a VM: what was begun for it and not ended, and what VMs that have ended left behind on this host. Without one,
or where nothing answers at its address: the latter alone. What still waits ends with status 5, what needs a look
with status 6.

JSON: {"finished":[...],"undone":[...],"open":[...]}`;

export function defineRecover(program: Command, run: RunWork): Command {
  const command = program
    .command('recover')
    .description('Finishes or undoes what a crash left behind, and says what it did.')
    .argument('[vm]', "the VM's QMP monitor")
    .addHelpText('after', HELP);
  return addVmOptions(command).action((address: string | undefined, options: VmOptions) =>
    run(async (context) => {
      const result = await recover(address, options, context);
      context.output.result(toJson(result), () => renderRecovery(result));
      return statusOfRecovery(result);
    }),
  );
}

/** What only waits is pending; whatever else is still open needs a look. */
export function statusOfRecovery({ open }: Pick<RecoveryResult, 'open'>): number {
  if (open.length === 0) return EXIT.done;
  return open.every(({ outcome }) => outcome === 'waiting') ? EXIT.pending : EXIT.unknown;
}

async function recover(
  address: string | undefined,
  options: VmOptions,
  context: CommandContext,
): Promise<RecoveryResult> {
  const { environment, output } = context;
  if (address === undefined) return recoverHost(environment);
  try {
    return await withVm(address, options, context, (vm, waiting) => vm.recover(waiting));
  } catch (error) {
    if (!isNobodyThere(error)) throw error;
    output.note(`${error.message}; going through what VMs that have ended left on this host`);
    return recoverHost(environment);
  }
}

function isNobodyThere(error: unknown): error is ConnectError | RefusedError {
  return (
    (error instanceof ConnectError && error.code === 'CONNECT_FAILED') ||
    (error instanceof RefusedError && error.code === 'VM_GONE')
  );
}

function renderRecovery({ finished, undone, open }: RecoveryResult): string {
  const lines = (what: string, items: RecoveryResult['open']) =>
    items.map(({ kind, ids, vm, reason }) => {
      const subject = `${what}: ${kind} of ${ids.join(', ') || 'nothing'} (VM ${vm})`;
      return escapeControl(reason === undefined ? subject : `${subject}: ${reason}`);
    });
  const all = [...lines('finished', finished), ...lines('undone', undone), ...lines('open', open)];
  return all.length === 0 ? 'nothing to recover' : all.join('\n');
}
