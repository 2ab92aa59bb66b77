import { describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/logger.js';
import { EventSubscription, type SubscriptionItem } from '../../src/qmp/events.js';
import type { QmpEvent } from '../../src/qmp/session.js';
import { readySession, type MemoryPeer } from './memory-peer.js';

const sendEvent = (peer: MemoryPeer, event: string, data?: object) => {
  peer.say(
    `${JSON.stringify({ event, data, timestamp: { seconds: 12, microseconds: 34_500 } })}\r\n`,
  );
};
const nameOf = (item: SubscriptionItem) =>
  item.kind === 'event' ? item.event.event : `lost ${item.lostCount}`;

async function take(subscription: EventSubscription, count: number): Promise<string[]> {
  const names: string[] = [];
  while (names.length < count) {
    const { done, value } = await subscription.next();
    if (done) return [...names, 'end'];
    names.push(nameOf(value));
  }
  return names;
}

describe('onEvent', () => {
  it('reads data and time', async () => {
    const { peer, session } = await readySession();
    const events: QmpEvent[] = [];
    session.onEvent((event) => events.push(event));
    sendEvent(peer, 'DEVICE_DELETED', { device: 'd0', path: '/machine/peripheral/d0' });
    expect(events).toEqual([
      {
        event: 'DEVICE_DELETED',
        data: { device: 'd0', path: '/machine/peripheral/d0' },
        timestampMs: 12_034.5,
      },
    ]);
  });

  it('calls listeners in order, before any later reply is delivered', async () => {
    const { peer, session } = await readySession();
    const seen: string[] = [];
    session.onEvent(({ event }) => seen.push(`first ${event}`));
    session.onEvent(({ event }) => seen.push(`second ${event}`));
    const reply = session.execute('query-status').then(() => seen.push('reply'));
    peer.say(`{"event":"A"}{"event":"B"}{"return":{},"id":${peer.request(0).id}}`);
    await reply;
    expect(seen).toEqual(['first A', 'second A', 'first B', 'second B', 'reply']);
  });

  it('survives a listener that throws, and reports it', async () => {
    const error = vi.fn();
    const { peer, session } = await readySession({ logger: { ...silentLogger, error } });
    const seen: string[] = [];
    session.onEvent(() => {
      throw new Error('mine');
    });
    session.onEvent(({ event }) => seen.push(event));
    sendEvent(peer, 'A');
    expect(seen).toEqual(['A']);
    expect(error).toHaveBeenCalledOnce();
    expect(session.state).toBe('ready');
  });

  it('ends at once, also from within another listener, and once per registration', async () => {
    const { peer, session } = await readySession();
    const seen: string[] = [];
    const listener = ({ event }: QmpEvent) => seen.push(event);
    session.onEvent(() => {
      stopFirst();
    });
    const stopFirst = session.onEvent(listener);
    session.onEvent(listener);
    sendEvent(peer, 'A');
    stopFirst();
    sendEvent(peer, 'B');
    expect(seen).toEqual(['A', 'B']);
  });

  it('does not call a listener for the event that made another add it', async () => {
    const { peer, session } = await readySession();
    const seen: string[] = [];
    const stop = session.onEvent(() => {
      stop();
      session.onEvent(({ event }) => seen.push(event));
    });
    sendEvent(peer, 'A');
    sendEvent(peer, 'B');
    expect(seen).toEqual(['B']);
  });

  it('lets a listener close the session', async () => {
    const { peer, session } = await readySession();
    const seen: string[] = [];
    session.onEvent(({ event }) => {
      seen.push(event);
      void session.close();
    });
    peer.say('{"event":"A"}{"event":"B"}');
    await session.closed;
    expect(seen).toEqual(['A']);
  });
});

describe('EventSubscription', () => {
  it('keeps events that came before the reader, and filters', async () => {
    const { peer, session } = await readySession();
    const subscription = new EventSubscription(session, {
      filter: ({ event }) => event !== 'RTC_CHANGE',
    });
    sendEvent(peer, 'A');
    sendEvent(peer, 'RTC_CHANGE');
    sendEvent(peer, 'B');
    expect(await take(subscription, 2)).toEqual(['A', 'B']);
    const next = take(subscription, 1);
    sendEvent(peer, 'C');
    expect(await next).toEqual(['C']);
  });

  it('is bounded, and shows the gap at its place', async () => {
    const { peer, session } = await readySession();
    const subscription = new EventSubscription(session, { capacity: 3 });
    for (let n = 0; n < 100_000; n++) peer.say(`{"event":"E${n}"}`);
    expect(subscription.pendingCount).toBe(3);
    expect(await take(subscription, 2)).toEqual(['E0', 'E1']);
    // There is room again, but this one came after the gap.
    sendEvent(peer, 'EARLY');
    expect(await take(subscription, 2)).toEqual(['E2', 'lost 99998']);
    sendEvent(peer, 'LATER');
    expect(await take(subscription, 1)).toEqual(['LATER']);
  });

  it('ends after its last item when the session ends', async () => {
    const { peer, session } = await readySession();
    const subscription = new EventSubscription(session);
    sendEvent(peer, 'SHUTDOWN');
    peer.hangUp();
    await session.closed;
    const names: string[] = [];
    for await (const item of subscription) names.push(nameOf(item));
    expect(names).toEqual(['SHUTDOWN']);
  });

  it('wakes its reader when the session ends', async () => {
    const { peer, session } = await readySession();
    const next = new EventSubscription(session).next();
    peer.hangUp();
    expect((await next).done).toBe(true);
  });

  it('stops listening when its loop is left, closed or disposed of', async () => {
    const { peer, session } = await readySession();
    const left = new EventSubscription(session);
    sendEvent(peer, 'A');
    for await (const item of left) {
      expect(nameOf(item)).toBe('A');
      break;
    }
    const closed = new EventSubscription(session);
    {
      using disposed = new EventSubscription(session);
      expect(disposed.pendingCount).toBe(0);
      closed.close();
      sendEvent(peer, 'B');
      expect(disposed.pendingCount).toBe(1);
    }
    sendEvent(peer, 'C');
    expect(left.pendingCount + closed.pendingCount).toBe(0);
    expect(await take(left, 1)).toEqual(['end']);
  });

  it.each([0, -1, 1.5, NaN])('refuses a capacity of %d', async (capacity) => {
    const { session } = await readySession();
    expect(() => new EventSubscription(session, { capacity })).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT' }),
    );
  });
});
