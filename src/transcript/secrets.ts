import { isJsonObject, type JsonObject, type JsonValue } from '../json.js';
import { MASKED } from './compare.js';
import type { TranscriptEntry } from './format.js';

/**
 * Members whose value is a secret wherever they stand: `set_password`, `change-vnc-password`,
 * `sev-inject-launch-secret`, `cookie` of an http block node, `vf-token` of vfio-pci. `password-secret`, `key-secret` and
 * `passwordid` only name a secret object (QEMU qapi/ui.json, block-core.json, crypto.json, 10.0).
 */
const SECRET_MEMBER = /^(password|passwd|passphrase|secret|cookie|token|vf-token)$/i;

/** Object types that hold a secret, and the member that does (QEMU qapi/qom.json, 10.0). */
const SECRET_TYPES: ReadonlySet<string> = new Set(['secret', 'secret_keyring']);
const SECRET_DATA = 'data';

/** A line of the human monitor that sets or names a secret. */
const SECRET_LINE = /passw|secret|passphrase|cookie/i;

/**
 * Masks the secrets of one session's messages, in the order in which they pass: passwords and data of secret
 * objects in commands, and what `qom-get` reads of them. A player takes any text for a masked one.
 */
export function createMask(): (entry: TranscriptEntry) => TranscriptEntry {
  /** Ids of `qom-get` commands whose answer is a secret. */
  const asked = new Set<JsonValue | undefined>();
  return (entry) => {
    const { dir, msg } = entry;
    if (dir === 'out') {
      const { arguments: args } = msg;
      if (!isJsonObject(args)) return entry;
      if (msg.execute === 'qom-get' && isSecretProperty(args.property)) asked.add(keyOf(msg.id));
      const masked = maskArguments(msg.execute ?? msg['exec-oob'], args);
      return { ...entry, msg: { ...msg, arguments: masked } };
    }
    if (msg.return === undefined || !asked.delete(keyOf(msg.id))) return entry;
    return { ...entry, msg: { ...msg, return: mask(msg.return) } };
  };
}

function maskArguments(command: JsonValue | undefined, args: JsonObject): JsonObject {
  const masked = maskMembers(args);
  if (command === 'qom-set' && isSecretProperty(args.property)) {
    return { ...masked, value: mask(args.value) };
  }
  const line = args['command-line'];
  if (command === 'human-monitor-command' && typeof line === 'string' && SECRET_LINE.test(line)) {
    return { ...masked, 'command-line': MASKED };
  }
  return masked;
}

function maskMembers(value: JsonObject): JsonObject {
  const type = value['qom-type'] ?? value.qom_type;
  const holdsSecret = typeof type === 'string' && SECRET_TYPES.has(type);
  const entries = Object.entries(value).map(([name, member]) => {
    const isSecret = SECRET_MEMBER.test(name) || (holdsSecret && name === SECRET_DATA);
    return [name, isSecret ? mask(member) : maskDeep(member)] as const;
  });
  return Object.fromEntries(entries);
}

function maskDeep(value: JsonValue | undefined): JsonValue | undefined {
  if (Array.isArray(value)) {
    return (value as readonly JsonValue[]).map((item) => maskDeep(item) ?? null);
  }
  return isJsonObject(value) ? maskMembers(value) : value;
}

/** Only texts are secrets: a `secret` that is an object or a flag says something else. */
function mask(value: JsonValue | undefined): JsonValue | undefined {
  return typeof value === 'string' ? MASKED : maskDeep(value);
}

function isSecretProperty(property: JsonValue | undefined): boolean {
  return typeof property === 'string' && (SECRET_MEMBER.test(property) || property === SECRET_DATA);
}

const keyOf = (id: JsonValue | undefined) =>
  typeof id === 'object' && id !== null ? JSON.stringify(id) : id;
