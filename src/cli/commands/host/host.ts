import type { Command } from 'commander';
import type { RunWork } from '../../command-context.js';
import { addJsonOption } from '../../vm-options.js';
import { defineAdopt } from './adopt.js';
import { defineApply } from './apply.js';
import { defineHostBind } from './bind.js';
import { defineHostMdev } from './mdev.js';
import { definePlan } from './plan.js';
import { defineHostQuarantine } from './quarantine.js';
import { defineHostRelease } from './release.js';
import { defineHostVfs } from './vfs.js';
import { defineRollback } from './rollback.js';
import { defineVerify } from './verify.js';

const HELP = `
Examples:
  qmplug host bind 0000:3b:00.0
  qmplug host release 0000:3b:00.0
  qmplug host vfs 0000:5e:00.0 4
  qmplug host mdev list
  qmplug host quarantine list
  qmplug host plan host.json
  qmplug host apply host.json
  qmplug host verify host.json
  qmplug host rollback

Each has a help of its own: qmplug host bind --help.

JSON: see the help of each command.`;

const DEFINITIONS = [
  defineHostBind,
  defineHostRelease,
  defineHostVfs,
  defineHostMdev,
  defineHostQuarantine,
  definePlan,
  defineApply,
  defineVerify,
  defineRollback,
  defineAdopt,
];

/** The commands under `qmplug host`. */
export function defineHost(program: Command, run: RunWork): Command {
  const host = addJsonOption(
    program
      .command('host')
      .description(
        'Prepares devices of the host and gives them back without any VM, and sets the host up for VFIO.',
      )
      .addHelpText('after', HELP),
  );
  for (const define of DEFINITIONS) define(host, run);
  return host;
}
