import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { QmpError } from '../../src/errors.js';
import { OutcomeUnknownError, TimeoutError } from '../../src/errors.js';
import type { LateReply } from '../../src/qmp/command-queue.js';
import { settled } from './fake-clock.js';
import { readySession } from './memory-peer.js';

const vfio = { driver: 'vfio-pci', id: 'v0', bus: 'rp0', addr: '0x0', host: '0000:41:00.0' };

/** Catches at once, so that no rejection is ever unhandled. */
async function failure(promise: Promise<unknown>): Promise<QmpError> {
  return promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error: unknown) => error as QmpError,
  );
}

describe('commands', () => {
  it('are sent in the order of their calls, eight at a time with oob', async () => {
    const { peer, session } = await readySession();
    const replies = Array.from({ length: 20 }, (_, n) =>
      session.execute('qom-get', { path: '/machine', property: `p${n}` }),
    );
    expect(peer.requests).toHaveLength(8);
    for (let n = 0; n < 20; n++) {
      expect(peer.requests).toHaveLength(Math.min(20, 8 + n));
      peer.answer(n, n);
      expect(await replies[n]).toBe(n);
    }
    expect(peer.requests.map((request) => request.arguments?.property)).toEqual(
      Array.from({ length: 20 }, (_, n) => `p${n}`),
    );
    expect(new Set(peer.requests.map((request) => request.id)).size).toBe(20);
  });

  it('are sent one at a time without oob', async () => {
    const { peer, session } = await readySession({ oob: false });
    const first = session.execute('query-status');
    const second = session.execute('query-pci');
    expect(peer.names).toEqual(['query-status']);
    peer.answer(0, { status: 'running' });
    expect(await first).toEqual({ status: 'running' });
    expect(peer.names).toEqual(['query-status', 'query-pci']);
    peer.answer(1, []);
    expect(await second).toEqual([]);
  });

  it('with a file are sent one at a time, whatever else is on its way', async () => {
    const { peer, session } = await readySession({ files: true });
    const file = { fd: 0 };
    const first = session.execute('getfd', { fdname: 'a' }, { file });
    const second = session.execute('getfd', { fdname: 'b' }, { file });
    await settled();
    const third = session.execute('query-name');
    expect(peer.names).toEqual(['getfd']);
    peer.refuse(0, 'no');
    expect(await failure(first)).toMatchObject({ code: 'COMMAND_FAILED' });
    expect(peer.names).toEqual(['getfd', 'getfd', 'query-name']);
    peer.answer(1);
    peer.answer(2, 'vm');
    expect(await Promise.all([second, third])).toEqual([{}, 'vm']);
  });

  it('get their own answers, in whatever order these come', async () => {
    const { peer, session } = await readySession();
    const replies = [session.execute('query-name'), session.execute('query-uuid')];
    peer.answer(1, 'second');
    peer.answer(0, 'first');
    expect(await Promise.all(replies)).toEqual(['first', 'second']);
  });

  it('send bigints as integers and read them back unrounded', async () => {
    const { peer, session } = await readySession();
    const testdev = { driver: 'pci-testdev', id: 't', bus: 'rp0', addr: '0x0', membar: 2n ** 40n };
    const added = session.execute('device_add', testdev);
    expect(peer.request(0).arguments?.membar).toBe(2 ** 40);
    peer.say(`{"return": 18446744073709551615, "id": ${peer.request(0).id}}`);
    expect(await added).toBe(18446744073709551615n);
  });

  it('have short ids that go round, past those still unanswered', async () => {
    const { peer, session } = await readySession();
    const slow = session.execute('query-name');
    const fast: Promise<unknown>[] = [];
    for (let n = 1; n <= 250; n++) {
      fast.push(session.execute('query-uuid'));
      peer.answer(n, n);
    }
    expect(await Promise.all(fast)).toEqual(Array.from({ length: 250 }, (_, n) => n + 1));
    const ids = peer.requests.map((request) => Number(request.id));
    expect(ids.filter((id) => id === ids[0])).toHaveLength(1);
    expect(Math.max(...ids)).toBe(99);
    peer.answer(0, 'late, but its own');
    expect(await slow).toBe('late, but its own');
  });

  it('that are not allowed never go out', async () => {
    const { peer, session } = await readySession();
    const refused = [
      session.execute('migrate', { uri: 'exec:id' }),
      session.execute('device_add', { ...vfio, romfile: '/etc/shadow' }),
      session.execute('device_add', { ...vfio, id: 'a/b' }),
      session.execute('query-status', undefined, { deadlineMs: 0 }),
      session.execute('query-status', undefined, { deadlineMs: NaN }),
    ];
    const codes = await Promise.all(refused.map(async (promise) => (await failure(promise)).code));
    expect(codes).toEqual([
      'COMMAND_NOT_ALLOWED',
      'BAD_ARGUMENT',
      'BAD_ID',
      'BAD_ARGUMENT',
      'BAD_ARGUMENT',
    ]);
    expect(peer.requests).toEqual([]);
  });

  it('fail with the request, the reply and the stack of the caller', async () => {
    const { peer, session } = await readySession();
    async function attachFromHere() {
      await session.execute('device_add', vfio);
    }
    const failed = failure(attachFromHere());
    peer.refuse(0, 'vfio 0000:41:00.0: group 17 is not viable');
    const error = await failed;
    expect(error).toMatchObject({
      name: 'CommandError',
      code: 'COMMAND_FAILED',
      command: 'device_add',
      request: vfio,
      qmpClass: 'GenericError',
      failure: { kind: 'group-not-viable', advice: 'permanent' },
    });
    expect(error.message).toBe('device_add v0: vfio 0000:41:00.0: group 17 is not viable');
    expect(error.stack).toMatch(/^CommandError: device_add v0/);
    expect(error.stack).toContain('attachFromHere');
  });

  it('never print what a hostile desc says to the terminal', async () => {
    const { peer, session } = await readySession();
    const failed = failure(session.execute('query-status'));
    peer.refuse(0, '\u001b]0;owned\u0007' + 'x'.repeat(100_000), '\u001b[31m');
    const error = await failed;

    expect(error.message + JSON.stringify(error.details)).not.toMatch(/[\u0000-\u001f]/);
    expect(error.message.length).toBeLessThan(3_000);
  });
});

describe('a command without an answer', () => {
  it('times out by its own deadline: outcome unknown, stack of the caller', async () => {
    const { peer, clock, session } = await readySession();
    async function attachFromHere() {
      await session.execute('device_add', vfio);
    }
    const failed = failure(attachFromHere());
    await clock.advance(29_999);
    expect(peer.requests).toHaveLength(1);
    await clock.advance(1);
    const error = await failed;
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({
      code: 'COMMAND_TIMEOUT',
      details: { command: 'device_add', sent: true, deadlineMs: 30_000 },
    });
    expect(error.stack).toContain('attachFromHere');
    expect(session.state).toBe('ready');
  });

  it('can be given more time, or any', async () => {
    const { peer, clock, session } = await readySession();
    const slow = session.execute('device_add', vfio, { deadlineMs: 600_000 });
    await clock.advance(599_999);
    peer.answer(0);
    expect(await slow).toEqual({});
    const patient = session.execute('device_add', vfio, { deadlineMs: Infinity });
    await clock.advance(1e12);
    peer.answer(1);
    expect(await patient).toEqual({});
  });

  it('keeps its late answer to itself', async () => {
    const late: LateReply[] = [];
    const { peer, clock, session } = await readySession({
      onLateReply: (reply) => late.push(reply),
    });
    const failed = failure(session.execute('device_add', vfio));
    await clock.advance(30_000);
    expect((await failed).code).toBe('COMMAND_TIMEOUT');
    const next = session.execute('query-status');
    peer.answer(0, 'late');
    expect(late).toEqual([
      {
        command: 'device_add',
        args: vfio,
        reply: expect.objectContaining({ value: 'late' }) as unknown,
      },
    ]);
    peer.answer(1, 'own');
    expect(await next).toBe('own');
    expect(session.stats).toEqual({ lateReplyCount: 1, unknownReplyCount: 0 });
  });

  it('without oob holds back the next one until it is answered, however late', async () => {
    const { peer, clock, session } = await readySession({ oob: false });
    const failed = failure(session.execute('device_add', vfio));
    await clock.advance(30_000);
    expect((await failed).code).toBe('COMMAND_TIMEOUT');
    const next = session.execute('query-status');
    await clock.advance(9_000);
    expect(peer.names).toEqual(['device_add']);
    peer.answer(0);
    expect(peer.names).toEqual(['device_add', 'query-status']);
    // The next one has its whole time from here.
    await clock.advance(9_999);
    peer.answer(1, 'own');
    expect(await next).toBe('own');
  });

  it('without oob: who waits behind it too long is told that nothing was sent', async () => {
    const { peer, clock, session } = await readySession({ oob: false });
    const first = failure(session.execute('device_add', vfio));
    const second = failure(session.execute('device_del', { id: 'v0' }));
    const third = failure(session.execute('query-pci'));
    await clock.advance(30_000);
    expect((await first).code).toBe('COMMAND_TIMEOUT');
    await clock.advance(10_000);
    const notSent = await second;
    expect(notSent).toMatchObject({ code: 'NOT_SENT', details: { sent: false } });
    expect(notSent).not.toBeInstanceOf(OutcomeUnknownError);
    await clock.advance(10_000);
    expect((await third).code).toBe('NOT_SENT');
    peer.answer(0);
    await settled();
    expect(peer.names).toEqual(['device_add']);
    expect(clock.pendingCount).toBe(0);
  });

  it('does not use up the time of the reads pipelined behind it', async () => {
    const { peer, clock, session } = await readySession();
    const added = session.execute('device_add', vfio);
    const listed = session.execute('qom-list', { path: '/machine/peripheral' });
    expect(peer.names).toEqual(['device_add', 'qom-list']);
    await clock.advance(25_000);
    peer.answer(0);
    await added;
    await clock.advance(9_999);
    peer.answer(1, []);
    expect(await listed).toEqual([]);
  });

  it('with oob times out one after the other when QEMU is silent', async () => {
    const { clock, session } = await readySession();
    const codes: string[] = [];
    const note = (name: string) => (error: QmpError) => codes.push(`${name} ${error.code}`);
    void failure(session.execute('device_add', vfio)).then(note('add'));
    void failure(session.execute('query-pci')).then(note('pci'));
    await clock.advance(39_999);
    expect(codes).toEqual(['add COMMAND_TIMEOUT']);
    await clock.advance(1);
    expect(codes).toEqual(['add COMMAND_TIMEOUT', 'pci COMMAND_TIMEOUT']);
  });
});

describe('AbortSignal', () => {
  it('stops the waiting, and the command keeps its place', async () => {
    const { peer, session } = await readySession({ oob: false });
    const controller = new AbortController();
    const failed = failure(session.execute('device_add', vfio, { signal: controller.signal }));
    const next = session.execute('query-status');
    controller.abort(new Error('shutting down'));
    const error = await failed;
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({
      code: 'ABORTED',
      details: { sent: true },
      cause: { message: 'shutting down' },
    });
    expect(peer.names).toEqual(['device_add']);
    peer.answer(0);
    peer.answer(1, 'own');
    expect(await next).toBe('own');
    expect(session.stats.lateReplyCount).toBe(1);
  });

  it('leaves an aborted command its time, so that the next one gets its own in full', async () => {
    const { peer, clock, session } = await readySession();
    const controller = new AbortController();
    const failed = failure(session.execute('device_add', vfio, { signal: controller.signal }));
    const next = session.execute('query-status');
    controller.abort();
    await failed;
    await clock.advance(39_999);
    peer.answer(0);
    peer.answer(1, 'own');
    expect(await next).toBe('own');
  });

  it('takes back what was not sent yet', async () => {
    const { peer, session } = await readySession({ oob: false });
    const controller = new AbortController();
    const first = session.execute('query-status');
    const failed = failure(session.execute('device_add', vfio, { signal: controller.signal }));
    const third = session.execute('query-name');
    controller.abort();
    const error = await failed;
    expect(error).toMatchObject({ code: 'ABORTED', details: { sent: false } });
    expect(error).not.toBeInstanceOf(OutcomeUnknownError);
    peer.answer(0);
    peer.answer(1);
    await Promise.all([first, third]);
    expect(peer.names).toEqual(['query-status', 'query-name']);
  });

  it('that has fired already keeps the command back', async () => {
    const { peer, session } = await readySession();
    const signal = AbortSignal.abort(new Error('never mind'));
    const error = await failure(session.execute('query-status', undefined, { signal }));
    expect(error).toMatchObject({ code: 'ABORTED', details: { sent: false } });
    expect(peer.requests).toEqual([]);
  });

  it('is let go of when the answer came', async () => {
    const { peer, session } = await readySession();
    const controller = new AbortController();
    const reply = session.execute('query-status', undefined, { signal: controller.signal });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    peer.answer(0, 1);
    expect(await reply).toBe(1);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    controller.abort();
    await settled();
    expect(session.stats.lateReplyCount).toBe(0);
  });
});

describe('the end of a session', () => {
  it('tells sent commands that their outcome is unknown and the others that they were not sent', async () => {
    const { peer, clock, session } = await readySession({ oob: false });
    const sent = failure(session.execute('device_add', vfio));
    const unsent = failure(session.execute('query-status'));
    const reason = new Error('ECONNRESET');
    peer.hangUp(reason);
    expect(await sent).toMatchObject({
      name: 'DisconnectedError',
      code: 'DISCONNECTED',
      details: { sent: true },
    });
    expect(await sent).toBeInstanceOf(OutcomeUnknownError);
    expect(await unsent).toMatchObject({ code: 'NOT_CONNECTED', details: { sent: false } });
    expect(await unsent).not.toBeInstanceOf(OutcomeUnknownError);
    expect(await session.closed).toMatchObject({ code: 'DISCONNECTED', cause: reason });
    expect(session.state).toBe('closed');
    expect(clock.pendingCount).toBe(0);
    expect(await failure(session.execute('query-status'))).toMatchObject({
      code: 'NOT_CONNECTED',
      details: { sent: false },
    });
  });

  it('has no reason when we ended it, and waits for the transport', async () => {
    const { peer, session } = await readySession();
    const sent = failure(session.execute('device_add', vfio));
    await session.close();
    await session.close();
    expect(peer.closed).toBe(true);
    expect((await sent).code).toBe('DISCONNECTED');
    expect(await session.closed).toBeUndefined();
  });

  it('comes even when the transport never reports its own', async () => {
    const { peer, clock, session } = await readySession();
    peer.transport.close = () => undefined;
    const closing = session.close();
    expect(session.state).toBe('closing');
    await clock.advance(2_000);
    await closing;
    expect(session.state).toBe('closed');
  });

  it('comes when nothing can be sent any more', async () => {
    const { peer, session } = await readySession();
    const reason = new Error('EPIPE');
    peer.transport.send = () => Promise.reject(reason);
    expect(await failure(session.execute('query-status'))).toMatchObject({ code: 'DISCONNECTED' });
    expect(await session.closed).toMatchObject({ cause: reason });
  });

  it('comes with await using', async () => {
    const { peer, session } = await readySession();
    {
      await using held = session;
      expect(held.state).toBe('ready');
    }
    expect(peer.closed).toBe(true);
  });
});
