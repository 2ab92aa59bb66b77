import { resolve } from 'node:path';
import type { Command } from 'commander';
import { readPolicyFile, rulesFor, type Rule, type Tenant } from '../index.js';
import type { CommandContext } from './command-context.js';
import { holdOwner, once, text } from './option-values.js';

/** What a command is told of who may have what. */
export interface RuleOptions {
  readonly policyFile?: string;
}

/** Options of a command that takes devices that are named. */
export interface TakingOptions extends RuleOptions {
  readonly reservedFor?: string;
}

/** Adds `--policy-file`. */
export function addPolicyFileOption(command: Command): Command {
  return command.option(
    '--policy-file <file>',
    'rules on who may have what (default: $QMPLUG_POLICY_FILE, or none)',
    once('--policy-file', text),
  );
}

/** Adds `--policy-file`, and for whom the devices are. */
export function addTakingOptions(command: Command): Command {
  return addPolicyFileOption(command).option(
    '--reserved-for <owner>',
    'the name it was set aside for with host reserve',
    once('--reserved-for', holdOwner),
  );
}

/** The rules of the policy file for one who asks, and that one's share; none without a file. */
export async function readRules(
  { environment, settings }: CommandContext,
  { policyFile = settings.policyFile }: RuleOptions,
  asker: string | undefined,
): Promise<{ readonly rules: readonly Rule[]; readonly tenant: Tenant | undefined }> {
  if (policyFile === undefined) return { rules: [], tenant: undefined };
  const policy = await readPolicyFile(environment.effects, resolve(policyFile));
  return {
    rules: rulesFor(policy, asker),
    tenant: policy.tenants.find(({ name }) => name === asker),
  };
}
