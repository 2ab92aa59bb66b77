import type { SetupFacts } from './facts.js';
import type { Ledger } from './ledger.js';
import type { SetupAction, SetupItem } from './plan-types.js';
import type { SetupStep } from './steps.js';
import type { WantedAttribute, WantedPair, Wishes } from './wants/index.js';

interface Planned {
  readonly items: readonly SetupItem[];
  readonly actions: readonly SetupAction[];
  readonly steps: readonly SetupStep[];
}

/** What is neither a file nor an argument: attributes of the running kernel, and what programs install. Pure. */
export function planRuntime(
  wishes: Required<Wishes>,
  facts: SetupFacts,
  ledger: Ledger,
  holdOrphans: boolean,
): Planned {
  const parts = [
    ...wishes.pairs.map((pair) => planPair(pair, ledger)),
    ...(facts.isMachine ? wishes.attributes.map((each) => planAttribute(each, facts, ledger)) : []),
    ...(holdOrphans ? [] : orphanedPairs(wishes.pairs, ledger)),
    ...(holdOrphans ? [] : orphanedAttributes(wishes.attributes, facts, ledger)),
  ];
  return {
    items: parts.flatMap(({ items }) => items),
    actions: parts.flatMap(({ actions }) => actions),
    steps: parts.flatMap(({ steps }) => steps),
  };
}

function planPair({ item, argv, inverse, present }: WantedPair, ledger: Ledger): Planned {
  const isOurs = ledger.pairs.has(item);
  const state = isOurs ? 'ok' : 'missing';
  if (isOurs)
    return { items: [{ id: item, subject: argv.join(' '), state }], actions: [], steps: [] };
  return {
    items: [{ id: item, subject: argv.join(' '), state }],
    actions: [pairAction(item, argv, inverse)],
    steps: [{ kind: 'RunPair', action: item, argv, inverse, present }],
  };
}

function orphanedPairs(wanted: readonly WantedPair[], ledger: Ledger): readonly Planned[] {
  return [...ledger.pairs.values()]
    .filter(({ action }) => !wanted.some(({ item }) => item === action))
    .map((pair) => ({
      items: [{ id: pair.action, subject: pair.argv.join(' '), state: 'orphan' as const }],
      actions: [pairAction(pair.action, pair.inverse, pair.argv)],
      steps: [{ ...pair, remove: true }],
    }));
}

function pairAction(id: string, argv: readonly string[], inverse: readonly string[]): SetupAction {
  return {
    id,
    kind: 'RunPair',
    backend: argv[0] ?? '',
    current: null,
    wanted: null,
    argv: [argv],
    needsRoot: true,
    needsReboot: false,
    ownership: 'ours',
    inverse: inverse.join(' '),
    risk: 'low',
  };
}

function planAttribute(
  { item: id, path, value }: WantedAttribute,
  facts: SetupFacts,
  ledger: Ledger,
): Planned {
  const now = facts.hugepages.get(path);
  if (now === undefined) {
    const reason = `${path} cannot be read`;
    const remedy = 'check that the machine has that node and that page size';
    return {
      items: [{ id, subject: path, state: 'unmet', reason, remedy }],
      actions: [],
      steps: [],
    };
  }
  if (now === value) {
    const state = ledger.attributes.has(path) ? 'ok' : 'foreign-ok';
    return { items: [{ id, subject: path, state }], actions: [], steps: [] };
  }
  return {
    items: [{ id, subject: path, state: 'missing' }],
    actions: [attributeAction(path, now, value)],
    steps: [{ kind: 'WriteAttribute', action: path, path, value, expect: now }],
  };
}

function orphanedAttributes(
  wanted: readonly WantedAttribute[],
  facts: SetupFacts,
  ledger: Ledger,
): readonly Planned[] {
  return [...ledger.attributes].flatMap(([path, { original, ours }]) => {
    const now = facts.hugepages.get(path);
    // After a reboot, or by somebody else, it is no longer what we set.
    if (wanted.some((each) => each.path === path) || now !== ours) return [];
    return [
      {
        items: [{ id: 'orphan', subject: path, state: 'orphan' as const }],
        actions: [attributeAction(path, now, original)],
        steps: [
          { kind: 'WriteAttribute' as const, action: path, path, value: original, expect: now },
        ],
      },
    ];
  });
}

function attributeAction(path: string, current: string, wanted: string): SetupAction {
  return {
    id: path,
    kind: 'WriteAttribute',
    backend: 'sysfs',
    current,
    wanted,
    needsRoot: true,
    needsReboot: false,
    ownership: 'ours',
    inverse: `write ${current}`,
    risk: 'low',
  };
}
