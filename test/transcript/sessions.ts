import fc from 'fast-check';
import type { JsonObject } from '../../src/json.js';
import type { Transcript, TranscriptEntry, TranscriptHeader } from '../../src/transcript/index.js';

export const HEADER: TranscriptHeader = {
  qmplug: 1,
  qemu: '7.2.22',
  machine: 'q35',
  scenario: 'made-up',
  origin: 'synthetic',
};

export const GREETING: JsonObject = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: ['oob'] },
};

export function transcript(...entries: readonly TranscriptEntry[]): Transcript {
  return { header: HEADER, entries };
}

export const out = (t: number, msg: JsonObject): TranscriptEntry => ({ t, dir: 'out', msg });
export const into = (t: number, msg: JsonObject): TranscriptEntry => ({ t, dir: 'in', msg });

const anyScalar = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.bigInt((1n << 53n) + 1n, (1n << 64n) - 1n),
);
const anyArguments: fc.Arbitrary<JsonObject> = fc.dictionary(
  fc.string(),
  fc.oneof(
    anyScalar,
    fc.array(anyScalar, { maxLength: 3 }),
    fc.dictionary(fc.string(), anyScalar, { maxKeys: 2 }),
  ),
  { minKeys: 1, maxKeys: 3 },
);

/** What happens next in a made-up session; `reply` answers the oldest command. */
const anyMoment = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('command' as const), args: anyArguments }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('reply' as const), value: anyArguments }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('event' as const), data: anyArguments }) },
);

/** Sessions as a recorder could have seen them, at any pipelining depth and with events anywhere. */
export const anySession: fc.Arbitrary<Transcript> = fc
  .array(anyMoment, { maxLength: 30 })
  .map((moments) => {
    const entries: TranscriptEntry[] = [into(0, GREETING)];
    let sent = 0;
    let answered = 0;
    const t = () => entries.length;
    const answer = (value: JsonObject) => {
      entries.push(into(t(), { return: value, id: answered }));
      answered += 1;
    };
    for (const moment of moments) {
      if (moment.kind === 'command') {
        entries.push(out(t(), { execute: `do-${sent % 3}`, arguments: moment.args, id: sent }));
        sent += 1;
      } else if (moment.kind === 'event') {
        entries.push(into(t(), { event: 'HAPPENED', data: moment.data }));
      } else if (answered < sent) {
        answer(moment.value);
      }
    }
    while (answered < sent) answer({});
    return transcript(...entries);
  });
