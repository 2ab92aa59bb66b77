import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OutcomeUnknownError, type QmpError } from '../../src/errors.js';
import { settled } from './fake-clock.js';
import { readySession, type Request } from './memory-peer.js';

type Move =
  | { readonly kind: 'call'; readonly deadlineMs: number }
  | { readonly kind: 'answer'; readonly pick: number }
  | { readonly kind: 'repeat'; readonly pick: number }
  | { readonly kind: 'foretell' }
  | { readonly kind: 'abort'; readonly pick: number }
  | { readonly kind: 'advance'; readonly ms: number };

const anyMove: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      deadlineMs: fc.integer({ min: 1, max: 50 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('answer' as const), pick: fc.nat(20) }) },
  fc.record({ kind: fc.constant('repeat' as const), pick: fc.nat(20) }),
  fc.record({ kind: fc.constant('foretell' as const) }),
  fc.record({ kind: fc.constant('abort' as const), pick: fc.nat(20) }),
  fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 60 }) }),
);

interface Call {
  readonly name: string;
  readonly controller: AbortController;
  outcome: { readonly value: unknown } | { readonly error: QmpError } | undefined;
}

const nameOf = (request: Request) => String(request.arguments?.property);

it('keeps order, window, ids and outcomes straight in every schedule', async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(anyMove, { maxLength: 60 }), async (oob, moves) => {
      const { peer, clock, session } = await readySession({ oob });
      const calls: Call[] = [];
      const answered = new Set<number>();
      const unanswered = () => peer.requests.filter(({ id }) => !answered.has(id));
      const reply = (request: Request | undefined, value: unknown) => {
        if (!request) return;
        answered.add(request.id);
        peer.say(JSON.stringify({ return: value, id: request.id }));
      };

      const play = async (move: Move) => {
        switch (move.kind) {
          case 'call': {
            const call: Call = {
              name: `p${calls.length}`,
              controller: new AbortController(),
              outcome: undefined,
            };
            calls.push(call);
            session
              .execute(
                'qom-get',
                { path: '/machine', property: call.name },
                { deadlineMs: move.deadlineMs, signal: call.controller.signal },
              )
              .then(
                (value) => (call.outcome = { value }),
                (error: unknown) => (call.outcome = { error: error as QmpError }),
              );
            break;
          }
          case 'answer': {
            const waiting = unanswered();
            const request = waiting[move.pick % Math.max(1, waiting.length)];
            reply(request, request && nameOf(request));
            break;
          }
          case 'repeat': {
            const [id] = [...answered].slice(move.pick % Math.max(1, answered.size));
            if (id !== undefined) peer.say(JSON.stringify({ return: 'forged', id }));
            break;
          }
          case 'foretell':
            peer.say(JSON.stringify({ return: 'forged', id: 1_000_000 }));
            break;
          case 'abort':
            calls[move.pick % Math.max(1, calls.length)]?.controller.abort();
            break;
          case 'advance':
            await clock.advance(move.ms);
            break;
        }
        await settled();
      };

      const check = () => {
        const sent = peer.requests.map(nameOf);
        expect(unanswered().length).toBeLessThanOrEqual(oob ? 8 : 1);
        expect(sent).toEqual(calls.map(({ name }) => name).filter((name) => sent.includes(name)));
        for (const { name, outcome } of calls) {
          const wasSent = sent.includes(name);
          if (outcome === undefined) continue;
          if ('value' in outcome) expect([outcome.value, wasSent]).toEqual([name, true]);
          else expect(outcome.error instanceof OutcomeUnknownError).toBe(wasSent);
        }
      };

      for (const move of moves) {
        await play(move);
        check();
      }
      // A peer that answers everything leaves nobody waiting; no hang-up needed.
      while (unanswered().length > 0) {
        for (const request of unanswered()) reply(request, nameOf(request));
        await settled();
      }
      check();
      expect(calls.filter(({ outcome }) => outcome === undefined)).toEqual([]);
      expect(session.state).toBe('ready');
      await session.close();
      expect(clock.pendingCount).toBe(0);
    }),
    { numRuns: 150 },
  );
});

it('leaves nobody waiting when the peer never answers again', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }),
      async (oob, deadlines) => {
        const { clock, session } = await readySession({ oob });
        let settledCount = 0;
        for (const deadlineMs of deadlines) {
          session
            .execute('query-status', undefined, { deadlineMs })
            .catch(() => (settledCount += 1));
        }
        await clock.advance(deadlines.reduce((sum, deadlineMs) => sum + deadlineMs, 0));
        expect(settledCount).toBe(deadlines.length);
      },
    ),
    { numRuns: 50 },
  );
});
