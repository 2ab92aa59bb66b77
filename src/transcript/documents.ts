import { InputError } from '../errors.js';
import { isJsonObject, parseJson, type JsonObject } from '../json.js';

/** A line of a log, numbered from 1. */
export interface LogLine {
  readonly line: number;
  readonly text: string;
}

/** A JSON object found in a log. */
export interface LogDocument {
  /** Where it begins. */
  readonly line: number;
  /** What stands before it on its line, or between it and the document before it on that line. */
  readonly before: string;
  readonly value: JsonObject;
}

/** What a log is made of. */
export interface LogContent {
  readonly documents: readonly LogDocument[];
  /** What is neither a document nor blank, in order. */
  readonly rest: readonly LogLine[];
}

/** A log cannot be read; `line` is counted from 1. */
export function badLog(source: string, line: number, reason: string, cause?: unknown): InputError {
  return new InputError('BAD_TRANSCRIPT', `${source}, line ${line}: ${reason}`, {
    cause,
    remedy: 'correct the line or leave it out; --format names how the log is written',
    details: { source, line },
  });
}

/** The lines of a text; a carriage return before the end of a line is not part of it. */
export function logLines(text: string): readonly LogLine[] {
  return text.split(/\r?\n/).map((line, index) => ({ line: index + 1, text: line }));
}

/**
 * Finds the JSON objects in lines of text. One may stretch over several lines, and a line may hold several.
 *
 * @throws {InputError} `BAD_TRANSCRIPT` with the line on which a broken or unfinished object begins.
 */
export function findDocuments(lines: readonly LogLine[], source: string): LogContent {
  const documents: LogDocument[] = [];
  const rest: LogLine[] = [];
  let open: { readonly line: number; readonly before: string } | undefined;
  let parts: string[] = [];
  let nesting = new Nesting();
  for (const { line, text } of lines) {
    let at = 0;
    while (at < text.length) {
      if (open === undefined) {
        const start = text.indexOf('{', at);
        if (start < 0) break;
        open = { line, before: text.slice(at, start) };
        [parts, nesting, at] = [[], new Nesting(), start];
      }
      const end = nesting.endIn(text, at);
      parts.push(text.slice(at, end ?? text.length));
      at = end ?? text.length;
      if (end === undefined) continue;
      documents.push({ ...open, value: readObject(parts.join('\n'), source, open.line) });
      open = undefined;
    }
    if (open === undefined) {
      const left = text.slice(at).trim();
      if (left !== '') rest.push({ line, text: left });
    }
  }
  if (open !== undefined) throw badLog(source, open.line, 'the JSON that begins here has no end');
  return { documents, rest };
}

function readObject(text: string, source: string, line: number): JsonObject {
  try {
    const value = parseJson(text);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw badLog(source, line, 'what begins here is not JSON', cause);
  }
  throw badLog(source, line, 'what begins here is no JSON object');
}

/** Finds the end of an object by its braces, outside of strings. */
class Nesting {
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The place behind the object's last brace; undefined where it goes on in the next line. */
  endIn(text: string, from: number): number | undefined {
    for (let at = from; at < text.length; at += 1) {
      const character = text[at];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === '\\') this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') {
        this.#inString = true;
      } else if (character === '{') {
        this.#depth += 1;
      } else if (character === '}') {
        this.#depth -= 1;
        if (this.#depth === 0) return at + 1;
      }
    }
    return undefined;
  }
}
