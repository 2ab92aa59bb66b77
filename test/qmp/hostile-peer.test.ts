import { describe, expect, it, vi } from 'vitest';
import { ProtocolError } from '../../src/errors.js';
import { silentLogger } from '../../src/logger.js';
import type { QmpEvent } from '../../src/qmp/session.js';
import { GREETING, readySession } from './memory-peer.js';

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'succeeded',
    (error: unknown) => (error as { code?: string }).code,
  );

describe('a peer that breaks the protocol', () => {
  it.each([
    [
      'an error without id',
      '{"error":{"class":"GenericError","desc":"JSON parse error, stray \'x\'"}}',
    ],
    ['an error that is no object', '{"error":"x","id":1}'],
    ['an error without class', '{"error":{"desc":"x"},"id":1}'],
    ['a second greeting', GREETING],
    ['a message of no kind', '{"id":1}'],
    ['a message of two kinds', '{"return":{},"error":{"class":"a","desc":"b"},"id":1}'],
    ['an event whose name is no text', '{"event":{"toString":1}}'],
    ['an event whose data is no object', '{"event":"X","data":[1]}'],
    ['an event of 64 KiB', `{"event":"X","data":{"a":"${'x'.repeat(65_536)}"}}`],
    ['a list', '[{"return":{},"id":1}]'],
    ['bytes between messages', '\u0000'],
    ['broken JSON', '{"return":{},"id":1,}'],
    ['a control character in a string', '{"event":"\u0001"}'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ['endless nesting', '{"return":' + '['.repeat(5_000)],
    ['a number without end', `{"return":${'9'.repeat(10_000)},"id":1}`],
    ['a number out of range', '{"return":1e999,"id":1}'],
  ])('loses the session: %s', async (_, text) => {
    const { peer, clock, session } = await readySession();
    const waiting = codeOf(session.execute('query-status'));
    peer.say(text);
    expect(await waiting).toBe('DISCONNECTED');
    expect(await session.closed).toBeInstanceOf(ProtocolError);
    expect(peer.closed).toBe(true);
    expect(clock.pendingCount).toBe(0);
  });

  it('loses the session when a message does not end', async () => {
    const { peer, session } = await readySession({ maxMessageBytes: 100_000 });
    const waiting = codeOf(session.execute('query-status'));
    peer.say('{"return":"');
    for (let n = 0; n < 11 && session.state === 'ready'; n++) peer.say('x'.repeat(10_000));
    expect(await waiting).toBe('DISCONNECTED');
    expect(await session.closed).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
  });

  it('loses the session at half a reply and a close', async () => {
    const { peer, session } = await readySession();
    const waiting = codeOf(session.execute('query-status'));
    peer.say('{"return":{"status":"run');
    peer.hangUp();
    expect(await waiting).toBe('DISCONNECTED');
  });

  it('is not heard any more after it was dropped', async () => {
    const events: QmpEvent[] = [];
    const { peer, session } = await readySession({ onEvent: (event) => events.push(event) });
    peer.say('{"event":"A"}{"id":1}{"event":"B"}');
    peer.say('{"event":"C"}');
    await session.closed;
    expect(events.map(({ event }) => event)).toEqual(['A']);
  });
});

describe('a peer that lies', () => {
  it.each([
    ['an unknown id', '{"return":"forged","id":4711}'],
    ['no id', '{"return":"forged"}'],
    ['an id as text', '{"return":"forged","id":"ID"}'],
    ['an id in a list', '{"return":"forged","id":[ID]}'],
    ['an id of an object', '{"return":"forged","id":{"__proto__":ID}}'],
    ['a huge id', '{"return":"forged","id":18446744073709551615}'],
    ['the id of nobody, with an error', '{"error":{"class":"GenericError","desc":"x"},"id":"z"}'],
  ])('is not believed: %s', async (_, text) => {
    const { peer, session } = await readySession();
    const reply = session.execute('query-status');
    peer.say(text.replace('ID', String(peer.request(0).id)));
    peer.answer(0, 'genuine');
    expect(await reply).toBe('genuine');
    expect(session.stats.unknownReplyCount).toBe(1);
  });

  it('is not believed when it answers before the request was sent', async () => {
    const { peer, session } = await readySession({ oob: false });
    const first = session.execute('query-status');
    const second = session.execute('query-pci');
    const secondId = peer.request(0).id + 1;
    peer.say(`{"return":"forged","id":${secondId}}{"return":"forged","id":${secondId + 1}}`);
    peer.answer(0, 1);
    peer.answer(1, 2);
    expect(await Promise.all([first, second])).toEqual([1, 2]);
    expect(session.stats.unknownReplyCount).toBe(2);
  });

  it('is not believed when it answers twice', async () => {
    const { peer, session } = await readySession();
    const reply = session.execute('query-status');
    peer.answer(0, 1);
    peer.answer(0, 2);
    expect(await reply).toBe(1);
    expect(session.stats.unknownReplyCount).toBe(1);
  });

  it('cannot fill the log with its replies', async () => {
    const warn = vi.fn();
    const { peer, session } = await readySession({ logger: { ...silentLogger, warn } });
    for (let n = 0; n < 1_000; n++) peer.say('{"return":{},"id":"\\u001b[2J"}');
    expect(session.stats.unknownReplyCount).toBe(1_000);
    expect(warn.mock.calls.length).toBeLessThan(12);
    expect(JSON.stringify(warn.mock.calls)).not.toContain('\\u001b');
  });

  it.each(['error', 'close', 'end', '__proto__', 'constructor', 'toString', '\u001b[2J'])(
    'does no harm with an event named %j',
    async (name) => {
      const events: QmpEvent[] = [];
      const { peer, session } = await readySession({ onEvent: (event) => events.push(event) });
      peer.say(JSON.stringify({ event: name, data: { device: 'x' } }));
      const reply = session.execute('query-status');
      peer.answer(0, 'fine');
      expect(await reply).toBe('fine');
      expect(events).toHaveLength(1);

      expect(events[0]?.event).not.toMatch(/[\u0000-\u001f]/);
    },
  );

  it('does no harm with keys of Object', async () => {
    const { peer, session } = await readySession();
    const reply = session.execute('qom-list', { path: '/machine' });
    const { id } = peer.request(0);
    peer.say(
      `{"return":{"__proto__":{"polluted":1},"constructor":1},"id":${id},"__proto__":{"event":"x"}}`,
    );
    expect(Object.keys((await reply) as object)).toEqual(['__proto__', 'constructor']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
