import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareTranscripts,
  diffMessages,
  diffValues,
  formatDifferences,
} from '../../src/transcript/index.js';
import { anySession, GREETING, into, out, transcript } from './sessions.js';

describe('diffMessages', () => {
  it('ignores ids, time stamps of events and the order of members', () => {
    const differences = diffMessages(
      { event: 'RESET', data: { guest: true, reason: 'x' }, timestamp: { seconds: 1 } },
      { timestamp: { seconds: 2 }, data: { reason: 'x', guest: true }, event: 'RESET' },
    );
    expect(differences).toEqual([]);
    expect(diffMessages({ return: {}, id: 1 }, { id: 'b', return: {} })).toEqual([]);
  });

  it('takes absent arguments for empty ones', () => {
    expect(
      diffMessages({ execute: 'query-pci', id: 1 }, { execute: 'query-pci', arguments: {} }),
    ).toEqual([]);
  });

  it('tells a number from its text, null from absence, and a list from its prefix', () => {
    const paths = (a: object, b: object) =>
      diffMessages(
        { execute: 'x', arguments: { ...a } },
        { execute: 'x', arguments: { ...b } },
      ).map((difference) => difference.path);
    expect(paths({ addr: 2 }, { addr: '2' })).toEqual(['arguments.addr']);
    expect(paths({ a: null }, {})).toEqual(['arguments.a']);
    expect(paths({ list: [1, 2] }, { list: [1] })).toEqual(['arguments.list[1]']);
    expect(paths({ n: 2n ** 64n - 1n }, { n: 2n ** 64n - 2n })).toEqual(['arguments.n']);
  });

  it('sees a member called __proto__ or constructor', () => {
    expect(diffValues(JSON.parse('{"__proto__":1}') as object as never, {})).toHaveLength(1);
    expect(diffValues({}, { constructor: 1 })).toHaveLength(1);
  });
});

describe('formatDifferences', () => {
  it('shows both sides and lets no control character through', () => {
    const text = formatDifferences(
      diffValues({ bus: 'rp1' }, { bus: 'rp\u001b[31m0', 'a b': true }),
    );
    expect(text).toBe(
      [
        '  - bus: "rp1"',
        '  + bus: "rp\\u001b[31m0"',
        '  - "a b": (absent)',
        '  + "a b": true',
      ].join('\n'),
    );
  });
});

describe('compareTranscripts', () => {
  const greeting = into(0, GREETING);
  const add = (bus: string) => out(5, { execute: 'device_add', arguments: { bus }, id: 4 });
  const done = into(6, { return: {}, id: 4 });

  it('finds a session equal to itself at another time with other ids', () => {
    fc.assert(
      fc.property(anySession, (session) => {
        const entries = session.entries.map((entry, index) => ({
          ...entry,
          t: entry.t + 100,
          msg: { ...entry.msg, ...(entry.msg.id === undefined ? {} : { id: `other-${index}` }) },
        }));
        expect(compareTranscripts(session, { ...session, entries })).toBeUndefined();
      }),
    );
  });

  it('points at the place in a message that differs', () => {
    expect(
      compareTranscripts(
        transcript(greeting, add('rp0'), done),
        transcript(greeting, add('rp1'), done),
      ),
    ).toBe('line 3 (device_add) differs:\n  - arguments.bus: "rp0"\n  + arguments.bus: "rp1"');
  });

  it('shows an additional message alone', () => {
    const stray = into(6, { event: 'RESET', data: {} });
    const text = compareTranscripts(
      transcript(greeting, add('rp0'), done),
      transcript(greeting, add('rp0'), stray, done),
    );
    expect(text).toBe(
      'from line 4: 0 messages became 1:\n  + line 4 in {"event":"RESET","data":{}}',
    );
  });
});
