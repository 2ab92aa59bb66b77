import { QmplugError } from '../../errors.js';
import { isJsonObject, parseJson, type JsonValue } from '../../json.js';
import type { StateStore } from '../../engine/state-store.js';

/** What a selector meant at some time. */
export interface Answer {
  /** SHA-256 of the request: `Resolution.selectorHash`. */
  readonly selectorHash: string;
  /** Each device with what it is, `0000:3b:00.0 10de:2204`. */
  readonly devices: readonly string[];
  /** ISO 8601. */
  readonly time: string;
}

const FILE = 'last-answers.json';
const DRAFT = 'last-answers.next';
/** The selectors of one host are a handful; a program that makes them up shall not fill its disk. */
const MOST = 200;

/**
 * Keeps what a selector means now in place of what it meant before. Two at once may lose the one of the other, which
 * costs a warning; and where nothing can be kept, nothing is.
 *
 * @returns what it meant the last time; undefined where that is not known.
 */
export async function exchangeAnswer(store: StateStore, now: Answer): Promise<Answer | undefined> {
  try {
    const answers = read(await store.read(FILE));
    const before = answers.find(({ selectorHash }) => selectorHash === now.selectorHash);
    const others = answers.filter((each) => each !== before);
    const text = JSON.stringify([now, ...others].slice(0, MOST));
    // A kill may have left a draft.
    await store.remove(DRAFT);
    if (await store.create(DRAFT, `${text}\n`)) await store.rename(DRAFT, FILE);
    return before;
  } catch (error) {
    if (error instanceof QmplugError) return undefined;
    throw error;
  }
}

/** What is not as we write it is forgotten: the next answers take its place. */
function read(text: string | undefined): readonly Answer[] {
  if (text === undefined) return [];
  try {
    const value = parseJson(text);
    return Array.isArray(value) ? (value as readonly JsonValue[]).flatMap(readAnswer) : [];
  } catch {
    return [];
  }
}

function readAnswer(value: JsonValue): readonly Answer[] {
  if (!isJsonObject(value)) return [];
  const { selectorHash, devices, time } = value;
  const isAnswer =
    typeof selectorHash === 'string' &&
    typeof time === 'string' &&
    Array.isArray(devices) &&
    (devices as readonly JsonValue[]).every((each) => typeof each === 'string');
  // Each member has just been checked.
  return isAnswer ? [{ selectorHash, time, devices: devices as readonly string[] }] : [];
}

/** The change between two answers in words; undefined where they are the same devices, in whatever order. */
export function changeBetween(
  text: string,
  before: Answer | undefined,
  now: Answer,
): string | undefined {
  if (before === undefined) return undefined;
  const [old, present] = [before, now].map(({ devices }) => [...devices].sort().join(', '));
  if (old === present) return undefined;
  return `${text} meant ${old} at ${before.time}, and means ${present} now; to be held to one: qmplug host pin`;
}
