import { newPlanId } from '../engine/plan-id.js';
import { InputError, QmplugError } from '../errors.js';
import type { Logger } from '../logger.js';
import { excerpt } from '../text.js';
import type { Environment } from './environment.js';

/** Which request an answer belongs to, and how long that took. */
export interface RequestReport {
  /** As the caller gave it, or one of ours. */
  readonly requestId: string;
  /** Milliseconds by the environment's clock, the waiting included. */
  readonly durationMs: number;
}

/** An answer, with what the log says of its request. */
export type Answered<T> = T & RequestReport;

/** One call of a public method. */
export interface Call {
  /** `attach`, `host bind`. */
  readonly operation: string;
  /** What was named, for the reader of the log. */
  readonly about: string;
  /** The caller's own id; it goes to the log and back to the caller, never to QEMU. */
  readonly requestId: string | undefined;
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;

/** @throws {InputError} `BAD_ARGUMENT`: it stands in log lines, one beside the other. */
export function readRequestId(requestId: string | undefined): string | undefined {
  if (requestId === undefined || (typeof requestId === 'string' && ID.test(requestId))) {
    return requestId;
  }
  throw new InputError('BAD_ARGUMENT', 'Not an id of a request', {
    remedy:
      'begin with a letter or digit, go on with letters, digits, dots, colons, dashes and underscores, 64 in all',
  });
}

/**
 * Does the work of a call and logs a line of it: the request's id, how long it took, how it ended.
 *
 * @param work is given a logger whose every line has the request's id.
 * @throws {InputError} `BAD_ARGUMENT` for an id that is none; what the work throws.
 */
export async function operate<T>(
  { clock, logger, newRequestId = newPlanId }: Environment,
  call: Call,
  work: (logger: Logger) => Promise<T>,
): Promise<{ readonly result: T; readonly report: RequestReport }> {
  const requestId = readRequestId(call.requestId) ?? newRequestId();
  const { operation } = call;
  const about = excerpt(String(call.about));
  const startedAt = clock.now();
  const reportNow = (): RequestReport => ({ requestId, durationMs: clock.now() - startedAt });
  const line = (outcome: string) => ({ operation, about, ...reportNow(), outcome });
  try {
    const result = await work(withRequestId(logger, requestId));
    const facts = line('done');
    logger.info(facts, `${operation} ${about}: done in ${inMs(facts)}`);
    return { result, report: reportNow() };
  } catch (error) {
    const facts = line(error instanceof QmplugError ? error.code : 'UNEXPECTED');
    logger.warn(facts, `${operation} ${about}: ${facts.outcome} after ${inMs(facts)}`);
    throw error;
  }
}

const inMs = ({ durationMs }: RequestReport) => `${durationMs.toFixed(0)} ms`;

function withRequestId(logger: Logger, requestId: string): Logger {
  return {
    debug: (details, message) => {
      logger.debug({ ...details, requestId }, message);
    },
    info: (details, message) => {
      logger.info({ ...details, requestId }, message);
    },
    warn: (details, message) => {
      logger.warn({ ...details, requestId }, message);
    },
    error: (details, message) => {
      logger.error({ ...details, requestId }, message);
    },
  };
}

/** What an attach is about, in words. */
export function aboutRequest(
  request:
    | { readonly device: string | readonly string[] }
    | { readonly emulate: unknown; readonly id: string },
): string {
  if (!('device' in request)) return String(request.id);
  return typeof request.device === 'string' ? request.device : [...request.device].join(', ');
}
