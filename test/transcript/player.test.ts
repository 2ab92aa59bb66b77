import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import type { JsonObject, JsonValue } from '../../src/json.js';
import { createPlayer, type Transcript } from '../../src/transcript/index.js';
import { LineClient, type Command } from './line-client.js';
import { anySession, GREETING, into, out, transcript } from './sessions.js';

const anyDepth = fc.integer({ min: 1, max: 8 });

function commandsOf(session: Transcript): readonly Command[] {
  return session.entries
    .filter((entry) => entry.dir === 'out')
    .map(({ msg }) => ({ execute: msg.execute as string, arguments: msg.arguments as JsonObject }));
}

const DELETED = { event: 'DEVICE_DELETED', data: { device: 'd0', path: '/machine/peripheral/d0' } };
const del = { execute: 'device_del', arguments: { id: 'd0' } };
const list = { execute: 'qom-list', arguments: { path: '/machine/peripheral' } };

/** greeting, device_del, its reply, the event, a look. */
const removal = transcript(
  into(0, GREETING),
  out(1, { ...del, id: 10 }),
  into(2, { return: {}, id: 10 }),
  into(40, DELETED),
  out(41, { ...list, id: 11 }),
  into(42, { return: [], id: 11 }),
);

describe('a session that says what was recorded', () => {
  it('hears what was recorded, in order, with its own ids, at any pipelining depth', async () => {
    await fc.assert(
      fc.asyncProperty(anySession, anyDepth, async (session, depth) => {
        const player = createPlayer(session);
        const client = new LineClient(player);
        const commands = commandsOf(session);
        await client.run(commands, depth);
        player.finish();
        let next = 0;
        const heard = session.entries.flatMap(({ dir, msg }) => {
          if (dir === 'out') return [];
          return [msg.return === undefined ? msg : { ...msg, id: `c${next++}` }];
        });
        expect(client.received).toEqual(heard);
        expect(client.closed).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  it('gets an event after the reply before it and never before its command was sent', async () => {
    const early = transcript(
      out(0, { ...del, id: 1 }),
      into(1, DELETED),
      into(2, { return: {}, id: 1 }),
    );
    const client = new LineClient(createPlayer(early));
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(client.received).toEqual([]);
    await client.run([del], 1);
    expect(client.received.map((msg) => msg.event ?? 'reply')).toEqual(['DEVICE_DELETED', 'reply']);
  });

  it('may send commands without ids and leave the order of members open', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.send({ arguments: { id: 'd0' }, execute: 'device_del' });
    await client.send(list);
    await client.until(() => client.replies.length === 2);
    player.finish();
    expect(client.replies).toEqual([{ return: {} }, { return: [] }]);
  });

  it('may cut its commands anywhere', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    for (const byte of Buffer.from(JSON.stringify(del) + JSON.stringify(list))) {
      await player.send(Uint8Array.of(byte));
    }
    await client.until(() => client.replies.length === 2);
    player.finish();
  });

  it('hears everything after the recorded delays when there is a clock', async () => {
    let now = 0;
    let timer: { at: number; callback: () => void } | undefined;
    const clock: Clock = {
      now: () => now,
      after(delayMs, callback) {
        timer = { at: now + delayMs, callback };
        return () => (timer = undefined);
      },
    };
    const client = new LineClient(createPlayer(removal, { clock }));
    const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await turn();
    await client.send(del);
    await turn();
    const arrivals: string[] = [];
    for (; now < 60; now += 1) {
      if (timer !== undefined && timer.at <= now) {
        const { callback } = timer;
        timer = undefined;
        const before = client.received.length;
        callback();
        if (client.received.length > before) arrivals.push(`${now}`);
      }
      await turn();
    }
    expect(arrivals).toEqual(['1', '39']);
  });
});

describe('a session that says something else', () => {
  it('fails when any one recorded argument is another', async () => {
    const withArguments = anySession.filter((session) => argumentPlaces(session).length > 0);
    await fc.assert(
      fc.asyncProperty(withArguments, anyDepth, fc.nat(), async (session, depth, seed) => {
        const places = argumentPlaces(session);
        const place = places[seed % places.length];
        const player = createPlayer(alter(session, place as Place));
        const client = new LineClient(player);
        await client.run(commandsOf(session), depth);
        expect(() => {
          player.finish();
        }).toThrow(expect.objectContaining({ code: 'TRANSCRIPT_MISMATCH' }));
      }),
      { numRuns: 100 },
    );
  });

  it('is shown both sides, and its transport ends with the same error', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.send({ execute: 'device_del', arguments: { id: 'd\u001b1' }, id: 1 });
    await client.until(() => client.closed !== undefined);
    expect(player.mismatch?.message).toBe(
      'transcript made-up: command 1 (line 3) should be device_del; - recorded, + sent by the client:\n' +
        '  - arguments.id: "d0"\n  + arguments.id: "d\\u001b1"',
    );
    expect(player.mismatch?.details).toEqual({ scenario: 'made-up', line: 3 });
    expect(client.closed?.reason).toBe(player.mismatch);
    await expect(client.send(list)).rejects.toBe(player.mismatch);
    expect(() => {
      player.finish();
    }).toThrow(player.mismatch);
  });

  it.each<[string, JsonValue]>([
    ['another command', { execute: 'device_add', arguments: { id: 'd0' } }],
    ['the command out of band', { 'exec-oob': 'device_del', arguments: { id: 'd0' } }],
    ['an additional argument', { execute: 'device_del', arguments: { id: 'd0', force: true } }],
    ['a missing argument', { execute: 'device_del' }],
    ['an additional member', { execute: 'device_del', arguments: { id: 'd0' }, control: {} }],
    ['no command at all', { hello: 'world' }],
  ])('fails on %s', async (_, message) => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.send(message);
    await client.until(() => client.closed !== undefined);
    expect(client.closed?.reason).toMatchObject({ code: 'TRANSCRIPT_MISMATCH' });
  });

  it('fails on bytes that are no JSON', async () => {
    const player = createPlayer(removal);
    new LineClient(player);
    await player.send(Buffer.from('HELLO'));
    expect(() => {
      player.finish();
    }).toThrow(/no command/);
  });

  it('fails on a command after the last recorded one', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.run([del, list, list], 1);
    expect(client.closed?.reason?.message).toMatch(/qom-list .* after the last recorded command/);
  });
});

describe('a file that went along with a command', () => {
  const getfd = { execute: 'getfd', arguments: { fdname: 'iommu' } };
  const handover = transcript(
    into(0, GREETING),
    { ...out(1, { ...getfd, id: 1 }), fd: true },
    into(2, { return: {}, id: 1 }),
    out(3, { ...list, id: 2 }),
    into(4, { return: [], id: 2 }),
  );
  const bytes = (command: JsonObject) => Buffer.from(JSON.stringify(command));
  const FILE = { fd: 0 };

  it('is taken where one was recorded, and only there', async () => {
    const player = createPlayer(handover);
    const client = new LineClient(player);
    expect(await player.files?.obstacle()).toBeUndefined();
    await player.files?.send(bytes(getfd), FILE);
    await client.send(list);
    await client.until(() => client.replies.length === 2);
    player.finish();
    expect(createPlayer(removal).files).toBeUndefined();
  });

  it('is missed where it does not come, and refused where none came', async () => {
    const without = createPlayer(handover);
    await without.send(bytes(getfd));
    expect(() => without.finish()).toThrow(/line 3\), getfd, should come with a file descriptor/);
    const twice = createPlayer(handover);
    await twice.files?.send(bytes(getfd), FILE);
    await twice.files?.send(bytes(list), FILE);
    expect(() => twice.finish()).toThrow(/line 5\), qom-list, should come without a file/);
  });

  it('is taken for there where it would be lost on the way', async () => {
    const player = createPlayer(handover, { losesFiles: true });
    const client = new LineClient(player);
    await client.run([getfd, list], 1);
    player.finish();
  });
});

describe('finish', () => {
  const finished = (player: { finish(): void }) => () => {
    player.finish();
  };

  it('fails when commands were not sent, and names them', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.run([del], 1);
    expect(finished(player)).toThrow(
      'transcript made-up: 2 recorded messages were not reached: line 6 qom-list, line 7 reply',
    );
  });

  it('fails when half a command was sent', async () => {
    const player = createPlayer(transcript(into(0, GREETING)));
    new LineClient(player);
    await player.send(Buffer.from('{"execute":'));
    expect(finished(player)).toThrow(/11 bytes of half a command/);
  });

  it('fails when the client left before the reply', async () => {
    const player = createPlayer(removal);
    const client = new LineClient(player);
    await client.run([del], 1);
    await client.send(list);
    player.close();
    expect(finished(player)).toThrow(/line 7 reply/);
  });

  it('lets a client leave before the last events', async () => {
    const player = createPlayer(
      transcript(out(0, { ...del, id: 1 }), into(1, { return: {}, id: 1 }), into(2, DELETED)),
    );
    const client = new LineClient(player);
    await client.run([del], 1);
    player.close();
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toEqual({ reason: undefined });
    expect(finished(player)).not.toThrow();
  });

  it('plays the last events to a client that is still there', async () => {
    const player = createPlayer(
      transcript(out(0, { ...del, id: 1 }), into(1, { return: {}, id: 1 }), into(2, DELETED)),
    );
    const client = new LineClient(player);
    await client.run([del], 1);
    player.finish();
    expect(client.received.at(-1)).toEqual(DELETED);
  });
});

interface Place {
  readonly entry: number;
  readonly path: readonly (string | number)[];
}

/** Every scalar in the arguments of any command. */
function argumentPlaces(session: Transcript): readonly Place[] {
  const leaves = (value: JsonValue | undefined, path: Place['path']): Place['path'][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => leaves(inner as JsonValue, [...path, key]))
      : [path];
  return session.entries.flatMap(({ dir, msg }, entry) =>
    dir === 'out' ? leaves(msg.arguments, []).map((path) => ({ entry, path })) : [],
  );
}

function alter(session: Transcript, place: Place): Transcript {
  const change = (value: JsonValue | undefined, path: Place['path']): JsonValue => {
    const [key, ...rest] = path;
    if (key === undefined) return 'something else';
    if (Array.isArray(value)) {
      return (value as JsonValue[]).map((item, index) =>
        String(index) === String(key) ? change(item, rest) : item,
      );
    }
    const object = value as JsonObject;
    return { ...object, [key]: change(object[key], rest) };
  };
  const entries = session.entries.map((entry, index) =>
    index === place.entry
      ? { ...entry, msg: { ...entry.msg, arguments: change(entry.msg.arguments, place.path) } }
      : entry,
  );
  return { ...session, entries };
}
