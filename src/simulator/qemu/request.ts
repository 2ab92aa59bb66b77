import { isJsonObject, parseJson, type JsonObject, type JsonValue } from '../../json.js';
import { QmpFailure } from './failure.js';

/** A request whose envelope is sound. */
export interface Request {
  readonly command: string;
  readonly args: JsonObject;
  readonly id: JsonValue | undefined;
  readonly outOfBand: boolean;
}

/** A request that is answered with an error before any command is looked up. */
export interface BadRequest {
  readonly failure: QmpFailure;
  readonly id: JsonValue | undefined;
}

const MEMBERS = ['execute', 'exec-oob', 'arguments', 'id'];

/** Source: qmp_dispatch_check_obj, qapi/qmp-dispatch.c. */
export function readRequest(text: string): Request | BadRequest {
  let value: JsonValue;
  try {
    value = parseJson(withDoubleQuotes(text));
  } catch {
    return { failure: new QmpFailure('JSON parse error, expecting value'), id: undefined };
  }
  if (!isJsonObject(value)) {
    return { failure: new QmpFailure('QMP input must be a JSON object'), id: undefined };
  }
  const { id } = value;
  const bad = (description: string) => ({ failure: new QmpFailure(description), id });
  const unexpected = Object.keys(value).find((key) => !MEMBERS.includes(key));
  if (unexpected !== undefined) return bad(`QMP input member '${unexpected}' is unexpected`);
  const member = value.execute === undefined ? 'exec-oob' : 'execute';
  const command = value[member];
  if (command === undefined) return bad("QMP input lacks member 'execute'");
  if (typeof command !== 'string') return bad(`QMP input member '${member}' must be a string`);
  const args = value.arguments ?? {};
  if (!isJsonObject(args)) return bad("QMP input member 'arguments' must be an object");
  return { command, args, id, outOfBand: member === 'exec-oob' };
}

/** QEMU takes 'single quotes' as string delimiters too. */
function withDoubleQuotes(text: string): string {
  if (!text.includes("'")) return text;
  return text.replace(/"(?:[^"\\]|\\.)*"|'((?:[^'\\]|\\.)*)'/g, (whole, single?: string) =>
    single === undefined ? whole : `"${single.replaceAll('"', '\\"')}"`,
  );
}
