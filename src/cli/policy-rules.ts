import { resolve } from 'node:path';
import { readPolicyFile, rulesFor, type HostEffects, type Rule, type Tenant } from '../index.js';

/** The rules of a policy file for one who asks, and that one's share; none without a file. */
export async function readRules(
  effects: HostEffects,
  file: string | undefined,
  asker: string | undefined,
): Promise<{ readonly rules: readonly Rule[]; readonly tenant: Tenant | undefined }> {
  if (file === undefined) return { rules: [], tenant: undefined };
  const policy = await readPolicyFile(effects, resolve(file));
  return {
    rules: rulesFor(policy, asker),
    tenant: policy.tenants.find(({ name }) => name === asker),
  };
}
