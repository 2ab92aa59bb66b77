import {
  QmplugError,
  RollbackError,
  StepError,
  type ErrorCode,
  type JsonObject,
  type JsonValue,
} from '../index.js';
import { toJson } from './to-json.js';

/** What stands under `error` in the JSON of a failed command. */
export interface DescribedError {
  readonly [key: string]: JsonValue;
  readonly code: ErrorCode | 'UNEXPECTED';
  readonly message: string;
  /** What to run or set; null where nothing is known. */
  readonly remedy: string | null;
  readonly details: JsonObject;
  /** Kinds of the steps that were taken back, in the order of the plan. */
  readonly undone: readonly string[];
}

export function describeError(error: unknown): DescribedError {
  if (!(error instanceof QmplugError)) {
    const message = messageOf(error);
    return { code: 'UNEXPECTED', message, remedy: null, details: {}, undone: [] };
  }
  const { code, message, remedy = null, details } = error;
  const steps = error instanceof StepError ? error.steps : [];
  const failures = error instanceof RollbackError ? error.undoFailures : [];
  const described: Record<string, JsonValue> = Object.fromEntries(
    Object.entries(details).map(([key, value]) => [key, toJson(value, key)]),
  );
  if (steps.length > 0) described.steps = toJson(steps);
  if (failures.length > 0) described.undoFailures = failures.map(messageOf);
  return {
    code,
    message,
    remedy,
    details: described,
    undone: steps.filter(({ outcome }) => outcome === 'undone').map(({ kind }) => kind),
  };
}

/** Messages of the causes that the message itself does not repeat, nearest first. */
export function causesOf(error: unknown): readonly string[] {
  const causes: string[] = [];
  let told = messageOf(error);
  let at = error instanceof Error ? error.cause : undefined;
  while (at !== undefined && causes.length < 5) {
    const message = messageOf(at);
    if (!told.includes(message)) causes.push(message);
    told += message;
    at = at instanceof Error ? at.cause : undefined;
  }
  return causes;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
