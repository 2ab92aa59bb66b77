import type { Bdf } from '../../pci/pci-address.js';
import { compileRules, fieldsOfRules, type Rule } from './deny.js';
import { locateRules } from './locate.js';
import { readCandidates, type SelectionHost } from './read-candidates.js';
import { allKeptOut } from './refusals.js';
import { findDenial } from './resolve.js';

/**
 * Asks rules about functions that are not chosen by them: what goes along with a device, and what is only named.
 *
 * @throws `DENIED` naming each function and its rule.
 */
export async function checkRules(
  host: SelectionHost,
  functions: readonly Bdf[],
  { rules = [], allow = [] }: { rules?: readonly Rule[] | undefined; allow?: readonly string[] },
): Promise<void> {
  if (rules.length === 0) return;
  const active = await locateRules(host.effects, rules);
  const set = await readCandidates(host, new Set(fieldsOfRules(active)));
  const compiled = compileRules(active);
  const wanted = new Set<string>(functions);
  const kept = set.candidates.flatMap((candidate) => {
    const denial = wanted.has(candidate.name)
      ? findDenial(candidate, compiled, allow, set)
      : undefined;
    return denial === undefined
      ? []
      : [{ ...denial, bdf: candidate.name, matched: [], failed: [] }];
  });
  if (kept.length > 0) throw allKeptOut(functions.join(', '), kept);
}
