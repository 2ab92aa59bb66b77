import type { Command } from 'commander';
import {
  escapeControl,
  listQuarantine,
  releaseFromQuarantine,
  type QuarantineEntry,
} from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { renderSteps } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

const HELP = `
Examples:
  qmplug host quarantine list
  qmplug host quarantine release 0000:3b:00.0

A device is in quarantine after a write to it that never came back, or when it was found dead after a detach.
Nothing touches it until it is released, which is refused while the operation is under way or the device dead.

JSON: {"quarantine":[{"device","why","evidence","worker","returnsTo"}]} or {"released":{"device","already"},"steps":[...]}`;

export function defineHostQuarantine(host: Command, run: RunWork): Command {
  const quarantine = addJsonOption(
    host
      .command('quarantine')
      .description('Devices that nobody may touch: lists them, and lets them go.')
      .addHelpText('after', HELP),
  );
  addJsonOption(
    quarantine.command('list').description('Prints the devices in quarantine, and why.'),
  ).action(() =>
    run(
      async ({ environment, output }) => {
        const entries = await listQuarantine(environment);
        output.result(toJson({ quarantine: entries.map(describeEntry) }), () =>
          renderEntries(entries),
        );
        return EXIT.done;
      },
      { changesNothing: true },
    ),
  );
  addJsonOption(
    quarantine
      .command('release')
      .description('Lets a device go, and gives it back to its driver where that is still to do.')
      .argument('<device>', 'its address'),
  ).action((device: string) =>
    run(async ({ environment, output, signal }) => {
      const { steps, ...released } = await releaseFromQuarantine(environment, device, { signal });
      const name = escapeControl(released.device);
      const what = released.already ? 'not in quarantine' : 'released from quarantine';
      output.result(toJson({ released, steps }), () =>
        [`${name}: ${what}`, ...renderSteps(steps)].join('\n'),
      );
      return EXIT.done;
    }),
  );
  return quarantine;
}

function describeEntry({ device, why, evidence, worker, binding }: QuarantineEntry) {
  const returnsTo = binding?.driver ?? null;
  return { device, why, evidence, worker: worker?.pid ?? null, returnsTo };
}

function renderEntries(entries: readonly QuarantineEntry[]): string {
  if (entries.length === 0) return 'no device is in quarantine';
  return entries
    .map(({ device, why, evidence }) => escapeControl(`${device} (${why}): ${evidence}`))
    .join('\n');
}
