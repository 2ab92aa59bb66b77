import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkTranscript,
  createPlayer,
  formatTranscript,
  machineName,
  renderTranscript,
  splitSessions,
  type TranscriptEntry,
} from '../../src/transcript/index.js';
import { anySession, GREETING, HEADER, into, out, transcript } from './sessions.js';

const findingsOf = (...entries: readonly TranscriptEntry[]) =>
  checkTranscript(formatTranscript(transcript(...entries))).findings.map(
    ({ line, message }) => `${line}: ${message}`,
  );
const stop = (id: number) => out(0, { execute: 'stop', id });
const done = (id: number) => into(0, { return: {}, id });

describe('checkTranscript', () => {
  it('finds nothing in what a recorder could have seen', () => {
    fc.assert(
      fc.property(anySession, (session) => {
        expect(checkTranscript(formatTranscript(session)).findings).toEqual([]);
        expect(() => createPlayer(session)).not.toThrow();
      }),
    );
  });

  it('finds a reply that was left out, wherever another one follows it; and so does the player', () => {
    fc.assert(
      fc.property(anySession, fc.nat(), (session, seed) => {
        const replies = [...session.entries.entries()].filter(([, { msg }]) => 'return' in msg);
        fc.pre(replies.length > 1);
        const [index] = replies[seed % (replies.length - 1)] ?? [0];
        const cut = { ...session, entries: session.entries.toSpliced(index, 1) };
        expect(checkTranscript(formatTranscript(cut)).findings).not.toEqual([]);
        expect(() => createPlayer(cut)).toThrow(
          expect.objectContaining({ code: 'BAD_TRANSCRIPT' }),
        );
      }),
    );
  });

  it.each<[string, readonly TranscriptEntry[], readonly string[]]>([
    ['no message', [], ['1: there is no message']],
    ['a reply without its command', [done(1)], ['2: a reply without its command (id 1)']],
    [
      'an id as text',
      [stop(1), into(0, { return: {}, id: '1' })],
      ['3: a reply without its command (id "1")'],
    ],
    ['a second reply', [stop(1), done(1), done(1)], ['4: a reply without its command (id 1)']],
    [
      'an id twice',
      [stop(1), stop(1), done(1), done(1)],
      ['3: id 1 is that of line 2, which waits for its reply'],
    ],
    ['the end unanswered', [into(0, GREETING), stop(1)], []],
    [
      'an answer of the session before',
      [into(0, GREETING), stop(1), into(0, GREETING), done(1)],
      ['5: a reply without its command (id 1)'],
    ],
    [
      'an answer out of band',
      [out(0, { 'exec-oob': 'yank', id: 9 }), stop(1), done(1), done(9)],
      [],
    ],
  ])('judges %s', (_, entries, expected) => {
    expect(findingsOf(...entries)).toEqual(expected);
  });

  it('tells every line that cannot be read, and no more of such a file', () => {
    const header = JSON.stringify(HEADER);
    const text = `${header}\n{"t":1,"dir":"in","msg":{"return":{}}}\nx\n{"t":0,"dir":"up"}\n{"t":0,"dir":"in","msg":{"event":"A"}}\n{"t":2`;
    const { findings, transcript: read } = checkTranscript(text);
    expect(findings.map(({ line }) => line)).toEqual([3, 4, 5, 6]);
    expect(findings.at(-1)?.message).toBe('the file is cut short here');
    expect(read?.entries).toHaveLength(2);
    expect(checkTranscript('').findings).toEqual([{ line: 1, message: 'the file is empty' }]);
  });
});

describe('splitSessions', () => {
  const two = transcript(
    into(0, GREETING),
    stop(1),
    done(1),
    out(5, { execute: 'cont' }),
    into(9, GREETING),
    stop(1),
    done(1),
  );

  it('cuts at every further greeting', () => {
    expect(splitSessions(two).map(({ entries }) => entries.length)).toEqual([4, 3]);
    expect(splitSessions(transcript(stop(1), into(0, GREETING), done(1)))).toHaveLength(1);
  });

  it('is what a player wants', () => {
    expect(() => createPlayer(two)).toThrow(/line 6: a second session begins here/);
    for (const session of splitSessions(two)) expect(() => createPlayer(session)).not.toThrow();
  });
});

it('shows a transcript line by line, and lets no control character through', () => {
  const lines = renderTranscript(
    transcript(
      into(0, GREETING),
      out(3, { execute: 'device_del', arguments: { id: 'd\u001b0' }, id: 7 }),
      into(4, { error: { class: 'GenericError', desc: 'no \n' }, id: 7 }),
      into(1200, { event: 'RESET', data: { guest: true } }),
    ),
  );
  expect(lines).toEqual([
    'made-up: synthetic, QEMU 7.2.22, q35, 4 messages',
    expect.stringMatching(/^2 {5}0 ms {2}<- greeting \{"version"/),
    '3     3 ms  -> 7 device_del id="d\\u001b0"',
    '4     4 ms  <- 7 device_del: error "no \\n"',
    '5  1200 ms  <- event RESET guest=true',
  ]);
});

it.each([
  ['pc-q35-7.2-machine', 'q35'],
  ['pc-i440fx-10.0-machine', 'pc'],
  ['virt-10.0-machine', 'virt'],
  ['virt-machine', 'virt'],
  ['s390-ccw-virtio-7.2-machine', 's390-ccw-virtio'],
  ['microvm-machine', 'microvm'],
])('calls %s %s', (type, name) => {
  expect(machineName(type)).toBe(name);
});
