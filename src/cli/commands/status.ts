import type { Command } from 'commander';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { renderStatus } from '../render-status.js';
import { toJson } from '../to-json.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

const HELP = `
Examples:
  qmplug status /run/vm.sock
  qmplug status tcp:127.0.0.1:4444 --json

A removal that has come to its end since is finished on the way: the device goes back to its host driver.

JSON: {"vm":{...},"ports":[...],"attachments":[...],"removals":[...]}`;

export function defineStatus(program: Command, run: RunWork): Command {
  const command = program
    .command('status')
    .description("Prints a VM's ports, what is attached and what is on its way out.")
    .argument('<vm>', "the VM's QMP monitor")
    .addHelpText('after', HELP);
  return addVmOptions(command).action((address: string, options: VmOptions) =>
    run(async (context) => {
      const status = await withVm(address, options, context, (vm, waiting) => vm.status(waiting));
      context.output.result(toJson(status), () => renderStatus(status));
      return EXIT.done;
    }),
  );
}
