import { acquireLock, type HeldLock, type LockOptions } from '../../engine/lock.js';
import type { Hold, Holds } from '../../engine/holds.js';
import { lookAgain } from '../../engine/look-again.js';
import { InputError, RefusedError, type ErrorCode } from '../../errors.js';
import type { Tenant } from './policy-file.js';
import type { SelectorRequest } from './request.js';
import { reserveDevices } from './reserve.js';
import { hashOf } from './resolve-selector.js';
import type { Resolution } from './resolution.js';

/** What is to be set aside, and for how long somebody waits for it. */
export interface ReserveWish {
  readonly request: SelectorRequest;
  readonly owner: string;
  /** Milliseconds; undefined holds till it is given back, or to the next boot. */
  readonly ttlMs: number | undefined;
  /** Milliseconds; 0 looks once, in its turn. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The host-wide places where reservations are kept and waited for. */
export interface ReserveHost extends LockOptions {
  readonly holds: Holds;
}

/** What the request means now, and the owner's share where there is one. */
export type Choose = () => Promise<{
  readonly resolution: Resolution;
  readonly tenant: Tenant | undefined;
}>;

/** These may end without anybody changing the request: somebody gives back, or a device comes. */
const MAY_PASS: readonly ErrorCode[] = ['CONFLICT', 'IN_USE', 'TOO_FEW', 'NO_MATCH'];
/** A hold that ends at its time, or with its process, changes no file, and neither does a device that comes. */
const LOOK_AGAIN_MS = 1_000;
/** A look reads the host's devices. */
const REST_MS = 100;

/**
 * Sets devices aside as soon as they can be had. Those that wait with the same selector are served in the order in
 * which they came; who has ended meanwhile is passed over. Nothing is set aside while it waits.
 *
 * @throws {InputError} `BAD_ARGUMENT`.
 * @throws {RefusedError} `RESERVE_TIMEOUT` naming who waited and what stood in the way, with the last refusal as its
 * cause; `ABORTED`; at once whatever no waiting will change.
 */
export async function reserveWhenFree(
  choose: Choose,
  wish: ReserveWish,
  host: ReserveHost,
): Promise<readonly Hold[]> {
  const { request, owner, ttlMs, waitMs, signal } = wish;
  checkWait(waitMs);
  const { store, clock, holds } = host;
  const startedAt = clock.now();
  const endsAt = startedAt + waitMs;
  const turn = await takeTurn(wish, host);
  try {
    let last: RefusedError | undefined;
    const attempt = async () => {
      try {
        const { resolution, tenant } = await choose();
        return await reserveDevices(holds, resolution, { owner, ttlMs, tenant });
      } catch (error) {
        if (!(error instanceof RefusedError) || !MAY_PASS.includes(error.code)) throw error;
        last = error;
        return undefined;
      }
    };
    const looked = await lookAgain(attempt, {
      ...{ store, clock, endsAt, signal },
      folders: ['holds', 'reservations'],
      everyMs: LOOK_AGAIN_MS,
      restMs: REST_MS,
    });
    switch (looked.kind) {
      case 'found':
        return looked.value;
      case 'aborted':
        throw aborted(wish);
      case 'late':
        throw timedOut(wish, clock.now() - startedAt, last, last?.message ?? request.text);
    }
  } finally {
    await turn.release();
  }
}

/** Whoever has the turn looks; the others wait for it. */
async function takeTurn(wish: ReserveWish, host: ReserveHost): Promise<HeldLock> {
  const { request, waitMs, signal } = wish;
  const { clock } = host;
  const startedAt = clock.now();
  try {
    return await acquireLock(`reserve-${hashOf(request).slice(0, 32)}`, host, {
      deadlineMs: waitMs,
      signal,
    });
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    if (error.code === 'ABORTED') throw aborted(wish);
    if (error.code !== 'LOCK_TIMEOUT') throw error;
    const pid = error.details.pid;
    const ahead = typeof pid === 'number' ? `process ${pid}` : 'another process';
    throw timedOut(wish, clock.now() - startedAt, error, `${ahead} waits for the same before it`);
  }
}

function checkWait(waitMs: number): void {
  if (Number.isFinite(waitMs) && waitMs >= 0) return;
  throw new InputError('BAD_ARGUMENT', `Nobody can wait for ${waitMs} ms`, {
    remedy: 'give milliseconds, 0 or more',
  });
}

function aborted({ request, owner, signal }: ReserveWish): RefusedError {
  const cause: unknown = signal?.reason;
  return new RefusedError('ABORTED', `${owner} gave up waiting for ${request.text}`, { cause });
}

function timedOut(
  { request, owner }: ReserveWish,
  waitedMs: number,
  cause: RefusedError | undefined,
  why: string,
): RefusedError {
  const ms = Math.round(waitedMs);
  return new RefusedError(
    'RESERVE_TIMEOUT',
    `${owner} waited ${ms / 1000} s for ${request.text}: ${why}`,
    {
      cause,
      remedy: `wait longer: --wait; or ${cause?.remedy ?? 'see: qmplug host reservations'}`,
      details: {
        wanted: owner,
        selector: request.text,
        waitedMs: ms,
        code: cause?.code ?? null,
        because: cause?.details ?? {},
      },
    },
  );
}
