import { QmpError } from '../errors.js';
import type { JsonObject } from '../json.js';
import { excerpt } from '../text.js';
import type { FailureEntry, RetryAdvice } from './failure-entry.js';
import { FAILURE_TABLE } from './failure-table.js';
import type { ErrorReply } from './wire.js';

/** `unknown` is a text that the tables do not have. */
export type FailureKind = (typeof FAILURE_TABLE)[number]['kind'] | 'unknown';

/** What an error reply means, in terms of our own. */
export interface Failure {
  readonly kind: FailureKind;
  readonly advice: RetryAdvice;
  readonly remedy: string | undefined;
}

/** Longest `desc` that is looked at; genuine ones have a few hundred characters. */
const MAX_DESC_LENGTH = 2_000;

interface Matcher {
  readonly entry: FailureEntry & { readonly kind: FailureKind };
  readonly pattern: RegExp;
}

/** `%s` and `%d` become wildcards; everything else is literal. */
function compile(text: string): RegExp {
  const source = text
    .split(/(%s|%d)/)
    .map((part) => {
      if (part === '%s') return '.*?';
      if (part === '%d') return '-?\\d+';
      return part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
    })
    .join('');
  return new RegExp(`^${source}$`, 's');
}

const MATCHERS: readonly Matcher[] = FAILURE_TABLE.map((entry) => ({
  entry,
  pattern: compile(entry.text),
}));

/**
 * Says what an error reply means. The same text can mean different things for different
 * commands: `DeviceNotFound` after `device_del` is (nearly) success, after `device_add` it is
 * a missing object.
 */
export function classifyFailure(command: string, error: ErrorReply): Failure {
  const desc = error.desc.slice(0, MAX_DESC_LENGTH);
  for (const { entry, pattern } of MATCHERS) {
    if (entry.commands !== undefined && !entry.commands.includes(command)) continue;
    if (entry.class !== undefined && entry.class !== error.class) continue;
    if (!pattern.test(desc)) continue;
    return { kind: entry.kind, advice: entry.advice, remedy: entry.remedy };
  }
  return { kind: 'unknown', advice: 'permanent', remedy: undefined };
}

/**
 * QEMU answered `{"error": ...}`: the command did not do what it was asked. Never "nothing
 * happened": a failed `device_add` can have sent events before its answer.
 */
export class CommandError extends QmpError {
  readonly command: string;
  /** The request's arguments as they were sent, but for secrets. */
  readonly request: JsonObject;
  /** The reply's class, `GenericError` for nearly everything. Safe to print. */
  readonly qmpClass: string;
  /** QEMU's text, with control characters escaped. Safe to print; not API. */
  readonly desc: string;
  /** The reply as it came: any characters. */
  readonly reply: ErrorReply;
  readonly failure: Failure;

  constructor(command: string, request: JsonObject, reply: ErrorReply) {
    const failure = classifyFailure(command, reply);
    const desc = excerpt(reply.desc, MAX_DESC_LENGTH);
    const qmpClass = excerpt(reply.class, 64);
    const { id } = request;
    const subject = typeof id === 'string' ? `${command} ${excerpt(id)}` : command;
    super('COMMAND_FAILED', `${subject}: ${desc}`, {
      remedy: failure.remedy,
      details: { command, class: qmpClass, desc, kind: failure.kind, advice: failure.advice },
    });
    this.command = command;
    this.request = hideSecrets(request);
    this.reply = reply;
    this.qmpClass = qmpClass;
    this.desc = desc;
    this.failure = failure;
  }
}

/** Arguments of commands that are secrets: the token of a VF, which its PF's user shares. */
const SECRETS = ['vf-token'] as const;

function hideSecrets(request: JsonObject): JsonObject {
  const hidden = SECRETS.filter((name) => request[name] !== undefined);
  if (hidden.length === 0) return request;
  return { ...request, ...Object.fromEntries(hidden.map((name) => [name, '(hidden)'])) };
}
