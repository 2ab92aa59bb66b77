import { resolve } from 'node:path';
import type { Command } from 'commander';
import {
  parseRequest,
  resolveSelector,
  type DeviceChoice,
  type NumaMode,
  type Resolution,
  type SelectorRequest,
  type Tenant,
} from '../index.js';
import type { CommandContext } from './command-context.js';
import { describeCandidate } from './device-json.js';
import { count, each, holdOwner, once, oneOf, reason, text } from './option-values.js';
import { addPolicyFileOption, readRules, type RuleOptions } from './policy-rules.js';
import { selectionHost } from './selection-host.js';

/** How many devices are chosen, and which of those that match. */
export interface PolicyOptions extends RuleOptions {
  readonly policy?: string;
  readonly order?: readonly string[];
  readonly same?: readonly string[];
  readonly distinct?: readonly string[];
  readonly spread?: string;
  readonly pack?: string;
  readonly orElse?: readonly string[];
  readonly near?: readonly number[];
  readonly numa?: NumaMode;
  readonly pin?: string;
  readonly follow?: true;
  readonly yesAll?: true;
}

/** Options of every command that does nothing but choose. */
export interface ChoiceOptions extends PolicyOptions {
  readonly allow?: readonly string[];
  readonly for?: string;
}

const POLICIES =
  'one, all, first:N, exactly:N, atleast:N, group, function-set or group-by:FIELD (default: one)';

/** Adds what a choice can be told besides its selector. */
export function addChoiceOptions(command: Command): Command {
  return addPolicyOptions(command)
    .option(
      '--allow <reason>',
      'pass over a rule or a finding by its name; may be repeated',
      each('--allow', reason),
    )
    .option(
      '--for <owner>',
      'who asks: what is held for them is no obstacle',
      once('--for', holdOwner),
    );
}

/** Adds how many are chosen, and which of those that match. */
export function addPolicyOptions(command: Command): Command {
  const many = (flag: string, value: string, about: string) =>
    command.option(`${flag} <${value}>`, `${about}; may be repeated`, each(flag, text));
  command.option('--policy <policy>', POLICIES, once('--policy', text));
  many('--order', 'field', 'sort by a field, -FIELD backwards');
  many('--same', 'field', 'all that are chosen share its value');
  many('--distinct', 'field', 'each that is chosen has another value');
  many('--or-else', 'selector', 'tried where the first cannot be had');
  return addPolicyFileOption(command)
    .option('--spread <field>', 'spread over the values of a field', once('--spread', text))
    .option('--pack <field>', 'take as few values of a field as can be', once('--pack', text))
    .option('--near <node>', 'a NUMA node of the VM; may be repeated', each('--near', count))
    .option(
      '--numa <mode>',
      'required, preferred, legacy or socket: how those nodes bind',
      once('--numa', oneOf('required', 'preferred', 'legacy', 'socket')),
    )
    .option('--pin <file>', 'the device must still be the one pinned there', once('--pin', text))
    .option('--follow', 'take a pinned device where it has moved to')
    .option('--yes-all', 'permit a selector that every device matches');
}

/** Resolves a selector with its options; what is noted on the way goes to stderr. */
export async function chooseDevices(
  context: CommandContext,
  selector: string,
  options: ChoiceOptions,
  { readAll }: { readonly readAll?: boolean } = {},
): Promise<{ readonly resolution: Resolution; readonly tenant: Tenant | undefined }> {
  const { logger, clock } = context.environment;
  const { yesAll, near: vmNodes, for: owner } = options;
  const { rules, tenant } = await readRules(context, options, owner);
  const resolution = await resolveSelector(
    { ...selectionHost(context), vmNodes },
    choiceRequest(selector, options),
    { rules, owner, scope: owner, yesAll, readAll, onlyFree: true, logger, clock },
  );
  return { resolution, tenant };
}

/** What is looked for, in its one form. */
export function choiceRequest(selector: string, options: ChoiceOptions): SelectorRequest {
  return parseRequest(selector, { ...requestOptions(options), allow: options.allow });
}

/** The choice of a command that gives what it chooses to a VM. */
export function choiceOf(options: PolicyOptions): DeviceChoice {
  const { near, yesAll } = options;
  return { ...requestOptions(options), yesAll, nearNodes: near };
}

function requestOptions({
  policy,
  order,
  same,
  distinct,
  spread,
  pack,
  orElse,
  numa,
  pin,
  follow,
}: PolicyOptions) {
  const pinned = pin === undefined ? undefined : { file: resolve(pin), follow: follow ?? false };
  return { policy, order, same, distinct, spread, pack, orElse, numa, pin: pinned };
}

/** A resolution as JSON. */
export function describeResolution({ chosen, companions, classes, set, ...facts }: Resolution) {
  const describe = (candidate: Resolution['chosen'][number]) =>
    describeCandidate(candidate, set.names, []);
  const names = [...classes].map(
    ([value, members]) => [value, members.map(({ name }) => name)] as const,
  );
  return {
    ...facts,
    chosen: chosen.map(describe),
    companions: companions.map(describe),
    classes: new Map(names),
  };
}
