import type { Command } from 'commander';
import type { RunWork } from '../../command-context.js';
import { defineAdopt } from './adopt.js';
import { defineApply } from './apply.js';
import { definePlan } from './plan.js';
import { defineRollback } from './rollback.js';
import { defineVerify } from './verify.js';

const HELP = `
Examples:
  qmplug host plan host.json
  qmplug host apply host.json
  qmplug host verify host.json
  qmplug host rollback`;

/** The commands under `qmplug host`. */
export function defineHost(program: Command, run: RunWork): Command {
  const host = program
    .command('host')
    .description('Sets the host up for VFIO from one file, and puts it back.')
    .addHelpText('after', HELP);
  for (const define of [definePlan, defineApply, defineVerify, defineRollback, defineAdopt]) {
    define(host, run);
  }
  return host;
}
