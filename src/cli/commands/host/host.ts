import type { Command } from 'commander';
import type { RunWork } from '../../command-context.js';
import { addJsonOption } from '../../vm-options.js';
import { defineAdopt } from './adopt.js';
import { defineApply } from './apply.js';
import { defineHostBind } from './bind.js';
import { defineHostMdev } from './mdev.js';
import { defineHostPin } from './pin.js';
import { definePlan } from './plan.js';
import { defineHostQuarantine } from './quarantine.js';
import { defineHostReservations, defineHostReserve, defineHostUnreserve } from './reserve.js';
import { defineHostResolve } from './resolve.js';
import { defineHostSnapshot } from './snapshot.js';
import { defineHostRelease } from './release.js';
import { defineHostVfs } from './vfs.js';
import { defineRollback } from './rollback.js';
import { defineVerify } from './verify.js';

const HELP = `
Examples:
  qmplug host resolve 'class:gpu numa:0' --policy first:2
  qmplug host reserve 0000:3b:00.0 --for training --ttl 1h
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
  defineHostResolve,
  defineHostPin,
  defineHostReserve,
  defineHostUnreserve,
  defineHostReservations,
  defineHostSnapshot,
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
        'Chooses, reserves and binds devices of the host without any VM, and sets the host up for VFIO.',
      )
      .addHelpText('after', HELP),
  );
  for (const define of DEFINITIONS) define(host, run);
  return host;
}
