import { describe, expect, it } from 'vitest';
import type { QmpEvent } from '../../src/qmp/session.js';
import { openSession } from '../../src/qmp/connect.js';
import { FakeClock, settled } from './fake-clock.js';
import {
  failedOpening,
  GREETING,
  GREETING_WITHOUT_OOB,
  MemoryPeer,
  readySession,
} from './memory-peer.js';

describe('the handshake', () => {
  it('enables oob where it is offered, and only there', async () => {
    for (const [greeting, args] of [
      [GREETING, { enable: ['oob'] }],
      [GREETING_WITHOUT_OOB, undefined],
    ] as const) {
      const peer = new MemoryPeer();
      const opening = openSession(peer.transport, { clock: new FakeClock() });
      expect(peer.requests).toEqual([]);
      peer.say(greeting);
      await settled();
      expect(peer.request(0).execute).toBe('qmp_capabilities');
      expect(peer.request(0).arguments).toEqual(args);
      peer.answer(0);
      const session = await opening;
      expect(session.state).toBe('ready');
      expect(session.version).toEqual({ major: 7, minor: 2, micro: 22, package: 'Debian' });
    }
  });

  it('leaves no timer behind', async () => {
    const { clock, session } = await readySession();
    await session.close();
    expect(clock.pendingCount).toBe(0);
  });

  it('makes the version of a hostile greeting safe to print', async () => {
    const peer = new MemoryPeer();
    const opening = openSession(peer.transport, { clock: new FakeClock() });
    peer.say(GREETING.replace('Debian', '\\u001b[2J'));
    await settled();
    peer.answer(0);
    expect((await opening).version.package).toBe('\\x1b[2J');
  });

  it('delivers an event that comes right behind the negotiation to the listener given', async () => {
    const events: QmpEvent[] = [];
    const peer = new MemoryPeer();
    const opening = openSession(peer.transport, {
      clock: new FakeClock(),
      onEvent: (event) => events.push(event),
    });
    peer.say(GREETING);
    await settled();
    peer.say(
      `{"return":{},"id":${peer.request(0).id}}{"event":"STOP","timestamp":{"seconds":-1,"microseconds":-1}}`,
    );
    await opening;
    expect(events).toEqual([{ event: 'STOP', data: {}, timestampMs: undefined }]);
  });

  it('calls a unix monitor that stays silent busy', async () => {
    const peer = new MemoryPeer();
    const error = await failedOpening(peer, (clock) => clock.advance(5_000));
    expect(error).toMatchObject({ name: 'ConnectError', code: 'MONITOR_BUSY' });
    expect(error.remedy).toContain('-qmp');
    expect(peer.closed).toBe(true);
  });

  it('names the caller in the stack of what went wrong', async () => {
    const clock = new FakeClock();
    const peer = new MemoryPeer();
    async function connectFromHere() {
      await openSession(peer.transport, { clock });
    }
    const failed = connectFromHere().catch((error: unknown) => (error as Error).stack);
    await settled();
    await clock.advance(5_000);
    expect(await failed).toContain('connectFromHere');
  });

  it('says no such thing of a command that stays silent', async () => {
    const peer = new MemoryPeer('exec:ssh host');
    const error = await failedOpening(peer, (clock) => clock.advance(5_000));
    expect(error.code).toBe('NO_GREETING');
  });

  it('keeps the deadline it was given', async () => {
    const peer = new MemoryPeer();
    const error = await failedOpening(
      peer,
      async (clock) => {
        await clock.advance(99);
        expect(peer.closed).toBe(false);
        await clock.advance(1);
      },
      { greetingDeadlineMs: 100 },
    );
    expect(error.code).toBe('MONITOR_BUSY');
  });

  it('keeps the reason of a peer that closes before its greeting', async () => {
    const peer = new MemoryPeer();
    const reason = new Error('status 255');
    const error = await failedOpening(peer, () => {
      peer.hangUp(reason);
    });
    expect(error).toMatchObject({ name: 'ConnectError', code: 'NO_GREETING', cause: reason });
  });

  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['HMP', 'QEMU 7.2.22 monitor - type help\r\n(qemu) '],
    ['no version', '{"QMP": {"capabilities": []}}'],
    ['no object', '{"QMP": null}'],
    ['a version as text', '{"QMP":{"version":{"qemu":{"major":"7","minor":2,"micro":0}}}}'],
    ['a negative version', '{"QMP":{"version":{"qemu":{"major":-7,"minor":2,"micro":0}}}}'],
    [
      'a huge version',
      '{"QMP":{"version":{"qemu":{"major":18446744073709551615,"minor":2,"micro":0}}}}',
    ],
    ['odd capabilities', GREETING.replace('["oob"]', '"oob"')],
    ['broken JSON', '{"QMP" "x"}'],
    ['nothing known', '{}'],
    ['two things at once', GREETING.replace('{"QMP"', '{"event":"STOP","QMP"')],
    ['deep nesting', '{"QMP":' + '['.repeat(2000)],
  ])('refuses %s as a greeting', async (_, text) => {
    const peer = new MemoryPeer();
    const error = await failedOpening(peer, () => {
      peer.say(text);
    });
    expect(error).toMatchObject({ name: 'ConnectError', code: 'BAD_GREETING' });
    expect(peer.closed).toBe(true);
  });

  // QEMU 7.2.22: of 1,500 clients that came right after one that was killed in the middle of query-pci, 30 were
  // sent its reply first.
  it.each([
    ['a reply', '{"return": {}, "id": 1}'],
    ['a reply without an id', '{"return": {}}'],
    ['an error', '{"error": {"class": "GenericError", "desc": "no"}, "id": 7}'],
    ['an error without an id', '{"error": {"class": "GenericError", "desc": "no"}}'],
    ['an event', '{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}'],
  ])('passes over %s to the client before us, and waits for its greeting', async (_, text) => {
    const peer = new MemoryPeer();
    const opening = openSession(peer.transport, { clock: new FakeClock() });
    peer.say(`${text}\r\n${text}\r\n`);
    await settled();
    expect(peer.requests).toEqual([]);
    peer.say(GREETING);
    await settled();
    peer.answer(0);
    expect((await opening).state).toBe('ready');
  });

  it('does not wait for ever where only replies come', async () => {
    const peer = new MemoryPeer();
    const error = await failedOpening(peer, async (clock) => {
      peer.say('{"return": {}, "id": 1}');
      await clock.advance(5_000);
    });
    expect(error.code).toBe('MONITOR_BUSY');
  });

  it.each<[string, (peer: MemoryPeer, clock: FakeClock) => unknown]>([
    [
      'refused',
      (peer) => {
        peer.refuse(0, 'Capability oob not available');
      },
    ],
    ['not answered', (_, clock) => clock.advance(5_000)],
    [
      'answered by hanging up',
      (peer) => {
        peer.hangUp();
      },
    ],
    [
      'answered with a second greeting',
      (peer) => {
        peer.say(GREETING);
      },
    ],
    [
      'answered with an error that has no id',
      (peer) => {
        peer.say('{"error":{"class":"GenericError","desc":"JSON parse error, stray"}}');
      },
    ],
  ])('fails when the negotiation is %s', async (_, play) => {
    const peer = new MemoryPeer();
    const error = await failedOpening(peer, async (clock) => {
      peer.say(GREETING);
      await settled();
      await play(peer, clock);
    });
    expect(error).toMatchObject({ name: 'ConnectError', code: 'NEGOTIATION_FAILED' });
    expect(error.cause).toBeInstanceOf(Error);
    expect(peer.closed).toBe(true);
  });

  it('does not take an answer to another id for the end of the negotiation', async () => {
    const peer = new MemoryPeer();
    const error = await failedOpening(peer, async (clock) => {
      peer.say(GREETING);
      await settled();
      peer.say('{"return":{},"id":99}{"return":{}}{"return":{},"id":"1"}');
      await clock.advance(5_000);
    });
    expect(error.code).toBe('NEGOTIATION_FAILED');
  });

  it.each([
    ['before the greeting', false],
    ['while negotiating', true],
  ])('can be given up %s', async (_, greet) => {
    const peer = new MemoryPeer();
    const controller = new AbortController();
    const error = await failedOpening(
      peer,
      async () => {
        if (greet) peer.say(GREETING);
        await settled();
        controller.abort(new Error('enough'));
      },
      { signal: controller.signal },
    );
    expect(error).toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(peer.closed).toBe(true);
  });

  it('is not touched by its signal once it is over', async () => {
    const controller = new AbortController();
    const { session } = await readySession({ signal: controller.signal });
    controller.abort();
    await settled();
    expect(session.state).toBe('ready');
  });
});
