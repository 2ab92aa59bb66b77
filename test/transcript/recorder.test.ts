import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { QmpTransport, TransportHandlers } from '../../src/qmp/transport.js';
import { createPlayer, recordTransport, type TranscriptEntry } from '../../src/transcript/index.js';
import { LineClient, type Command } from './line-client.js';
import { anySession, HEADER } from './sessions.js';

const clockAt = (times: readonly number[]) => {
  const left = [...times];
  return { now: () => left.shift() ?? 0, after: () => () => undefined };
};

/** A transport whose other end is the test. */
function looseEnd() {
  const sent: Uint8Array[] = [];
  let handlers: TransportHandlers | undefined;
  const transport: QmpTransport = {
    address: 'unix:/run/vm.sock',
    send: async (data) => void sent.push(data),
    start: (given) => void (handlers = given),
    close: () => handlers?.onClose(),
  };
  return { transport, sent, say: (text: string) => handlers?.onData(Buffer.from(text)) };
}

describe('recordTransport', () => {
  it('records a session that replays itself', async () => {
    await fc.assert(
      fc.asyncProperty(anySession, fc.integer({ min: 1, max: 8 }), async (session, depth) => {
        const commands = session.entries
          .filter((entry) => entry.dir === 'out')
          .map(({ msg }): Command => msg as never);
        const recorded: TranscriptEntry[] = [];
        const first = createPlayer(session);
        const client = new LineClient(
          recordTransport(first, {
            clock: clockAt([]),
            onEntry: (entry) => recorded.push(entry),
          }),
        );
        await client.run(commands, depth);
        first.finish();

        const again = createPlayer({ header: HEADER, entries: recorded });
        const second = new LineClient(again);
        await second.run(commands, depth);
        again.finish();
        expect(second.received).toEqual(client.received);
      }),
      { numRuns: 60 },
    );
  });

  it('records whole messages with their time, however the bytes are cut, and passes the bytes', async () => {
    const entries: TranscriptEntry[] = [];
    const end = looseEnd();
    const recording = recordTransport(end.transport, {
      clock: clockAt([1000, 1002.4, 1010]),
      onEntry: (entry) => entries.push(entry),
    });
    const received: string[] = [];
    let closedWith: Error | undefined | 'open' = 'open';
    recording.start({
      onData: (data) => received.push(Buffer.from(data).toString()),
      onClose: (reason) => (closedWith = reason),
    });
    expect(recording.address).toBe('unix:/run/vm.sock');
    await recording.send(Buffer.from('{"execute":'));
    await recording.send(Buffer.from('"query-pci"}'));
    end.say('{"return": [1844674407370955');
    end.say('1615]}\r\n');
    recording.close();
    expect(entries).toEqual([
      { t: 2, dir: 'out', msg: { execute: 'query-pci' } },
      { t: 10, dir: 'in', msg: { return: [18446744073709551615n] } },
    ]);
    expect(end.sent.map((data) => Buffer.from(data).toString())).toEqual([
      '{"execute":',
      '"query-pci"}',
    ]);
    expect(received).toEqual(['{"return": [1844674407370955', '1615]}\r\n']);
    expect(closedWith).toBeUndefined();
  });

  it.each(['SSH-2.0-OpenSSH\r\n', '{"return": {]}', '{"hello": 1}'])(
    'ends the record and tells when %j cannot be recorded, and still passes everything',
    async (text) => {
      const entries: TranscriptEntry[] = [];
      const faults: unknown[] = [];
      const end = looseEnd();
      const recording = recordTransport(end.transport, {
        clock: clockAt([]),
        onEntry: (entry) => entries.push(entry),
        onFault: (error) => faults.push(error),
      });
      const received: string[] = [];
      recording.start({
        onData: (data) => received.push(Buffer.from(data).toString()),
        onClose: () => undefined,
      });
      end.say(text);
      end.say('{"return": {}}');
      await recording.send(Buffer.from('{"execute":"quit"}'));
      expect(received).toEqual([text, '{"return": {}}']);
      expect(end.sent).toHaveLength(1);
      expect(faults).toHaveLength(1);
      expect(entries).toEqual([]);
    },
  );

  it('passes open files on, and says of each message whether one went along', async () => {
    const entries: TranscriptEntry[] = [];
    const passed: number[] = [];
    const end = looseEnd();
    const recording = recordTransport(
      {
        ...end.transport,
        files: {
          obstacle: () => Promise.resolve('none here'),
          send: async (data, { fd }) => {
            passed.push(fd);
            await end.transport.send(data);
          },
        },
      },
      { clock: clockAt([]), onEntry: (entry) => entries.push(entry) },
    );
    await recording.send(Buffer.from('{"execute":"query-pci"}'));
    await recording.files?.send(Buffer.from('{"execute":"getfd"}'), { fd: 7 });
    await recording.send(Buffer.from('{"execute":"closefd"}'));
    expect(await recording.files?.obstacle()).toBe('none here');
    expect(passed).toEqual([7]);
    expect(end.sent).toHaveLength(3);
    expect(entries).toEqual([
      { t: 0, dir: 'out', msg: { execute: 'query-pci' } },
      { t: 0, dir: 'out', fd: true, msg: { execute: 'getfd' } },
      { t: 0, dir: 'out', msg: { execute: 'closefd' } },
    ]);
    expect(
      recordTransport(end.transport, { clock: clockAt([]), onEntry: () => undefined }),
    ).toEqual(expect.not.objectContaining({ files: expect.anything() as unknown }));
  });
});
