import { changeWords, invertChange, isChanged, type ArgumentChange } from './argument-changes.js';
import {
  effectiveArgument,
  findArguments,
  formatArgument,
  isListArgument,
  isRepeatedArgument,
  listElements,
  normaliseKey,
  parseArgument,
  sameArgument,
  type KernelArgument,
} from './command-line.js';
import type { SetupFacts } from './facts.js';
import type { SetupItem } from './plan-types.js';
import type { ArgumentWish } from './wants/index.js';

export interface PlannedArguments {
  readonly items: readonly SetupItem[];
  /** Everything that shall be ours. */
  readonly target: readonly ArgumentChange[];
  /** What has to be done for it, in order. */
  readonly todo: readonly ArgumentChange[];
}

interface Lines {
  /** Configured, with what is ours. */
  readonly words: readonly KernelArgument[];
  /** Configured by others. */
  readonly foreign: readonly KernelArgument[];
  /** Undefined where nothing runs. */
  readonly running: readonly KernelArgument[] | undefined;
  readonly owned: readonly ArgumentChange[];
  /** Configured by others for some kernels only. */
  readonly partial: readonly KernelArgument[];
  readonly canMerge: boolean;
}

const same = (a: ArgumentChange, b: ArgumentChange) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Compares the arguments that are wanted with those configured, running and ours. Pure.
 *
 * @param holdOrphans nothing of ours is taken away while something that is wanted cannot be told or had.
 */
export function planArguments(
  wishes: readonly ArgumentWish[],
  facts: SetupFacts,
  owned: readonly ArgumentChange[],
  holdOrphans: boolean,
): PlannedArguments {
  const { backend, configured } = facts.kernelArguments;
  if (!configured.known) {
    const items = wishes.map(({ item, key, value, elements }) => ({
      id: item,
      subject: formatArgument(key, value ?? elements?.join(',')),
      state: 'unknown' as const,
      reason: configured.reason,
      remedy: 'run as root, or mend what cannot be read',
    }));
    return { items, target: owned, todo: [] };
  }
  const { words } = configured.value;
  const lines: Lines = {
    words,
    foreign: changeWords(
      words.map(({ text }) => text),
      owned.map(invertChange).reverse(),
    ).map(parseArgument),
    running: facts.isMachine && facts.running.known ? facts.running.value : undefined,
    owned,
    // Of ours, a kernel installed since may lack some: they are added again.
    partial: (configured.value.partial ?? []).filter(
      (word) => !owned.some((change) => sameArgument(parseArgument(change.text), word)),
    ),
    canMerge: backend.kind === 'print' || backend.canMerge,
  };
  const planned = mergeLists(wishes).map((wish) => planOne(wish, lines));
  const changes = planned.flatMap(({ change }) => (change === undefined ? [] : [change]));
  const orphans = owned.filter((change) => !changes.some((each) => same(each, change)));
  const held = holdOrphans ? orphans : [];
  const removed = holdOrphans ? [] : orphans;
  const modified = planned.filter(({ item }) => item.state === 'modified');
  return {
    items: [
      ...planned.map(({ item }) => item),
      ...removed.map((change) => ({
        id: 'kernel-arguments',
        subject: change.text,
        state: 'orphan' as const,
      })),
    ],
    target: [...held, ...changes],
    todo: [
      ...removed.map(invertChange),
      ...changes.filter(
        (change) =>
          !modified.some((each) => each.change === change) &&
          (!owned.some((each) => same(each, change)) || !isChanged(words, change)),
      ),
    ],
  };
}

/** Wishes for one list parameter become one wish: it may occur only once. */
function mergeLists(wishes: readonly ArgumentWish[]): readonly ArgumentWish[] {
  const merged = new Map<string, ArgumentWish>();
  for (const wish of wishes) {
    const isList = isListArgument(wish.key);
    const name = isList
      ? normaliseKey(wish.key)
      : formatArgument(normaliseKey(wish.key), wish.value);
    const earlier = merged.get(name);
    const elements = [...new Set([...(earlier?.elements ?? []), ...(wish.elements ?? [])])];
    merged.set(name, isList ? { ...(earlier ?? wish), elements } : (earlier ?? wish));
  }
  return [...merged.values()];
}

interface Planned {
  readonly item: SetupItem;
  /** What is or shall be ours; undefined where somebody else's setting will do, or nothing may be done. */
  readonly change?: ArgumentChange;
}

function planOne(wish: ArgumentWish, lines: Lines): Planned {
  const { item: id, key, elements } = wish;
  const wanted = parseArgument(formatArgument(key, elements?.join(',') ?? wish.value));
  const refuse = (reason: string, remedy: string): Planned => ({
    item: { id, subject: wanted.text, state: 'conflicting', reason, remedy },
  });
  const partly = findArguments(lines.partial, key).at(-1);
  if (partly !== undefined) {
    // Added for all kernels and taken back from all, it would be gone where it was before.
    const reason = `${partly.text} is configured by somebody else, for some of the kernels only`;
    return refuse(reason, `set or remove ${partly.text} for every kernel, by hand`);
  }
  const earlier = lines.owned.find((change) => sameArgument(parseArgument(change.text), wanted));
  if (earlier?.op === 'add') return ours(id, earlier, lines);
  const theirs = effectiveArgument(lines.foreign, key);
  if (elements !== undefined) {
    const there = listElements(theirs === undefined ? [] : [theirs], key);
    const missing = elements.filter((element) => !there.includes(element));
    if (theirs === undefined) return ours(id, { op: 'add', text: wanted.text }, lines);
    if (missing.length === 0) return satisfied(id, theirs, elements, lines);
    if (!lines.canMerge) {
      const reason = `${theirs.text} is set by somebody else, and a second occurrence would replace it`;
      return refuse(reason, `add ${missing.join(',')} where that is set`);
    }
    const keyAsWritten = theirs.text.slice(0, theirs.text.indexOf('='));
    const text = `${keyAsWritten}=${[...there, ...missing].join(',')}`;
    return ours(id, { op: 'replace', old: theirs.text, text }, lines);
  }
  const equal = findArguments(lines.foreign, key).find((word) => sameArgument(word, wanted));
  if (isRepeatedArgument(key)) {
    return equal === undefined
      ? ours(id, { op: 'add', text: wanted.text }, lines)
      : satisfied(id, equal, undefined, lines);
  }
  if (theirs === undefined) return ours(id, { op: 'add', text: wanted.text }, lines);
  if (sameArgument(theirs, wanted)) return satisfied(id, theirs, undefined, lines);
  const reason = `${theirs.text} is configured by somebody else, wanted is ${wanted.text}`;
  return refuse(reason, `remove ${theirs.text} where it is set, or change the desired state`);
}

/** Elements of a list, or the whole word, in a line. */
function isIn(
  line: readonly KernelArgument[],
  wanted: KernelArgument,
  elements: readonly string[] | undefined,
): boolean {
  if (elements === undefined) {
    if (isRepeatedArgument(wanted.key)) return line.some((word) => sameArgument(word, wanted));
    const effective = effectiveArgument(line, wanted.key);
    return effective !== undefined && sameArgument(effective, wanted);
  }
  const there = listElements(line, wanted.key);
  return elements.every((element) => there.includes(element));
}

function satisfied(
  id: string,
  by: KernelArgument,
  elements: readonly string[] | undefined,
  { running }: Lines,
): Planned {
  const runs = running === undefined || isIn(running, by, elements);
  return { item: { id, subject: by.text, state: runs ? 'foreign-ok' : 'pending-reboot' } };
}

function ours(id: string, change: ArgumentChange, { words, running, owned }: Lines): Planned {
  const wanted = parseArgument(change.text);
  const elements = isListArgument(wanted.key) ? listElements([wanted], wanted.key) : undefined;
  const runs = running !== undefined && isIn(running, wanted, elements);
  const isOurs = owned.some((each) => same(each, change));
  const subject = change.text;
  if (isOurs && isChanged(words, change)) {
    const state = running === undefined || runs ? 'ok' : 'pending-reboot';
    return { item: { id, subject, state }, change };
  }
  const now = effectiveArgument(words, wanted.key);
  const before = change.op === 'replace' ? parseArgument(change.old) : undefined;
  const isChangedByOthers =
    isOurs && now !== undefined && !(before !== undefined && sameArgument(now, before));
  if (isChangedByOthers) {
    const reason = `we set ${change.text}, and now it is ${now.text}`;
    const remedy = `put ${change.text} back by hand, or have all of ours taken back: qmplug host rollback`;
    return { item: { id, subject, state: 'modified', reason, remedy }, change };
  }
  const reason = isOurs ? 'it was ours, and somebody else took it away' : undefined;
  return { item: { id, subject, state: runs ? 'running-only' : 'missing', reason }, change };
}
