import type { Command } from 'commander';
import {
  Holds,
  InputError,
  reserveDevices,
  reserveWhenFree,
  type Environment,
  type Hold,
} from '../../../index.js';
import {
  addChoiceOptions,
  chooseDevices,
  choiceRequest,
  type ChoiceOptions,
} from '../../choose-devices.js';
import type { CommandContext } from '../../command-context.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { duration, holdOwner, once, seconds } from '../../option-values.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface ReserveCommandOptions extends ChoiceOptions {
  /** Milliseconds. */
  readonly ttl?: number;
  /** Milliseconds. */
  readonly wait?: number;
}

const RESERVE_HELP = `
Examples:
  qmplug host reserve 'class:gpu numa:0' --policy first:2 --for training --ttl 1h
  qmplug attach /run/vm.sock 0000:3b:00.0 --reserved-for training
  qmplug host reserve 'class:gpu' --policy exactly:2 --for training --wait 600
  qmplug host unreserve --for training

Sets whole IOMMU groups aside under a name, without touching a device. Nobody else gets them until they are given
back, the time is over, or the host boots.

With --wait, what is reserved, in use or not there yet is waited for; nothing is set aside meanwhile. Those that wait
with the same selector get it in the order in which they came. At the deadline it is refused, with status 3.

JSON: {"holds":[{"key","owner","devices","since","until"}]}`;

export function defineHostReserve(host: Command, run: RunWork): Command {
  const command = host
    .command('reserve')
    .description('Sets devices aside for somebody.')
    .argument('<selector>', 'an address, terms, or the structured form as JSON')
    .option(
      '--ttl <time>',
      'for how long: 90s, 30m, 1h, 2d (default: to the next boot)',
      once('--ttl', duration),
    )
    .option(
      '--wait <s>',
      'seconds to wait until it can be had (default: not at all)',
      once('--wait', seconds),
    )
    .addHelpText('after', RESERVE_HELP);
  return addJsonOption(addChoiceOptions(command)).action(
    (selector: string, options: ReserveCommandOptions) =>
      run(async (context) => {
        const holds = await reserve(context, selector, options);
        context.output.result(toJson({ holds }), () => renderHolds(holds));
        return EXIT.done;
      }),
  );
}

async function reserve(
  context: CommandContext,
  selector: string,
  options: ReserveCommandOptions,
): Promise<readonly Hold[]> {
  const { environment, signal } = context;
  const { ttl: ttlMs, wait: waitMs } = options;
  const owner = ownerOf(options.for);
  const holds = holdsOf(environment);
  const choose = () => chooseDevices(context, selector, options);
  if (waitMs === undefined) {
    const { resolution, tenant } = await choose();
    return reserveDevices(holds, resolution, { owner, ttlMs, tenant });
  }
  const { runtime: store, liveness, clock } = environment;
  const request = choiceRequest(selector, options);
  const wish = { request, owner, ttlMs, waitMs, signal };
  return reserveWhenFree(choose, wish, { store, liveness, clock, holds });
}

const UNRESERVE_HELP = `
Examples:
  qmplug host unreserve --for training

JSON: {"holds":[...]}, what was given back; none is a success.`;

export function defineHostUnreserve(host: Command, run: RunWork): Command {
  const command = host
    .command('unreserve')
    .description('Gives back what is set aside for somebody.')
    .option('--for <owner>', 'whose', once('--for', holdOwner))
    .addHelpText('after', UNRESERVE_HELP);
  return addJsonOption(command).action((options: { readonly for?: string }) =>
    run(async ({ environment, output }) => {
      const holds = await holdsOf(environment).release(ownerOf(options.for));
      output.result(toJson({ holds }), () => renderHolds(holds));
      return EXIT.done;
    }),
  );
}

const RESERVATIONS_HELP = `
Examples:
  qmplug host reservations

JSON: {"holds":[{"key","owner","devices","since","until"}]}`;

export function defineHostReservations(host: Command, run: RunWork): Command {
  const command = host
    .command('reservations')
    .description('Lists what is set aside, and for whom.')
    .addHelpText('after', RESERVATIONS_HELP);
  return addJsonOption(command).action(() =>
    run(
      async ({ environment, output }) => {
        const holds = await holdsOf(environment).list();
        output.result(toJson({ holds }), () => renderHolds(holds));
        return EXIT.done;
      },
      { changesNothing: true },
    ),
  );
}

function holdsOf({ runtime: store, liveness, clock }: Environment): Holds {
  return new Holds({ store, liveness, clock });
}

function ownerOf(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new InputError('BAD_ARGUMENT', 'No owner is named', {
    remedy: 'say whose it is: --for NAME',
  });
}

function renderHolds(holds: readonly Hold[]): string {
  if (holds.length === 0) return 'nothing is set aside';
  return holds
    .map(({ key, owner, devices, until }) => {
      const end =
        until === undefined ? 'to the next boot' : `until ${new Date(until).toISOString()}`;
      return `${key}  ${owner}  ${end}  ${devices.join(', ')}`;
    })
    .join('\n');
}
