import { InputError, RefusedError } from '../../errors.js';
import type { HostEffects } from '../effects.js';
import { hostFailure } from '../reading.js';
import type { Rule } from './deny.js';
import type { Expression } from './expression.js';
import { parseShort } from './parse-short.js';
import { identityOf } from './pin-identity.js';
import { parsePin, type Pin } from './pin.js';

/** What one tenant may have. */
export interface Tenant {
  readonly name: string;
  readonly rule: Rule;
  /** Most that may be held at a time; undefined for no limit. */
  readonly quota: {
    readonly devices: number | undefined;
    readonly groups: number | undefined;
    readonly vfs: number | undefined;
  };
}

export interface PolicyFile {
  readonly rules: readonly Rule[];
  readonly tenants: readonly Tenant[];
}

const LINE = /^(allow|deny|tenant)\s+([a-z][a-z0-9._-]*)((?:\s+[a-z]+=\d+)*)\s*:\s*(\S.*)$/;
const GROUP_OR_OTHERS_WRITE = 0o022;

/**
 * Reads a policy file: a rule a line, the first that matches decides.
 *
 *   deny   lab-card: id:10de:2204 numa:1
 *   allow  gpus: class:gpu
 *   deny   archive: pin:/etc/qmplug/archive.pin
 *   tenant alice devices=2 groups=2: class:gpu numa:0
 *
 * @throws {RefusedError} `POLICY_FILE_UNSAFE` for a file, or a pin it names, that others than root could have written.
 * @throws {InputError} `SYNTAX` with the line.
 */
export async function readPolicyFile(effects: HostEffects, path: string): Promise<PolicyFile> {
  const text = await readSafely(effects, path);
  const pins = new Map<string, Pin>();
  for (const file of pinsOf(text)) {
    pins.set(file, parsePin(await readSafely(effects, file), file));
  }
  return parsePolicyFile(text, path, pins);
}

/** What a rule says is worth as much as the file it was read from. */
async function readSafely(effects: HostEffects, path: string): Promise<string> {
  try {
    const { uid, mode, kind } = await effects.stat(path);
    const why = unsafe(uid, mode, kind);
    if (why !== undefined) {
      throw new RefusedError('POLICY_FILE_UNSAFE', `${path} ${why}`, {
        remedy: `chown root:root ${path} && chmod 0644 ${path}`,
        details: { file: path, uid, mode: `0${mode.toString(8)}` },
      });
    }
    return await effects.read(path);
  } catch (error) {
    throw hostFailure(`the policy file ${path}`, error, 'HOST_UNREADABLE');
  }
}

function unsafe(uid: number, mode: number, kind: string): string | undefined {
  if (kind !== 'file') return `is no plain file but a ${kind}`;
  if (uid !== 0) return `belongs to user ${uid}, not to root`;
  return mode & GROUP_OR_OTHERS_WRITE ? 'can be written by others than root' : undefined;
}

const PIN = /^pin:(\/\S+)$/;

/** The pins that rules name. */
function pinsOf(text: string): readonly string[] {
  const files = text.split('\n').flatMap((line) => {
    const selector = LINE.exec(line.trim())?.[4] ?? '';
    return PIN.exec(selector)?.[1] ?? [];
  });
  return [...new Set(files)];
}

/**
 * @param pins what the pins say that rules name, by their paths.
 * @throws {InputError} `SYNTAX` with the line.
 */
export function parsePolicyFile(
  text: string,
  path: string,
  pins: ReadonlyMap<string, Pin> = new Map(),
): PolicyFile {
  const rules: Rule[] = [];
  const tenants: Tenant[] = [];
  const ids = new Set<string>();
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const match = LINE.exec(line);
    if (!match) throw badLine(path, index, 'expected: allow|deny|tenant NAME: SELECTOR');
    const [, action = '', name = '', limits = '', selector = ''] = match;
    if (ids.has(`${action === 'tenant'}${name}`))
      throw badLine(path, index, `${name} is there twice`);
    ids.add(`${action === 'tenant'}${name}`);
    const expression = readSelector(selector, { path, index, pins });
    if (action === 'tenant') {
      const rule: Rule = {
        id: `tenant.${name}`,
        action: 'allow',
        expression,
        about: `${name} may have ${selector}`,
      };
      tenants.push({ name, rule, quota: readQuota(limits, path, index) });
      return;
    }
    if (limits !== '') throw badLine(path, index, 'limits are for tenants');
    // LINE has no other actions than these.
    rules.push({
      id: name,
      action: action as Rule['action'],
      expression,
      about: selector,
      final: action === 'deny',
    });
  });
  return { rules, tenants };
}

function readQuota(limits: string, path: string, index: number): Tenant['quota'] {
  const entries = limits
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((limit) => limit.split('=') as [string, string]);
  const stray = entries.find(([key]) => !['devices', 'groups', 'vfs'].includes(key));
  if (stray !== undefined)
    throw badLine(path, index, `${stray[0]} is none of devices, groups, vfs`);
  const quota = new Map(entries.map(([key, value]) => [key, Number(value)]));
  return { devices: quota.get('devices'), groups: quota.get('groups'), vfs: quota.get('vfs') };
}

function readSelector(
  selector: string,
  { path, index, pins }: { path: string; index: number; pins: ReadonlyMap<string, Pin> },
): Expression {
  const pin = pins.get(PIN.exec(selector)?.[1] ?? '');
  if (pin !== undefined) return identityOf(pin);
  try {
    return parseShort(selector);
  } catch (cause) {
    throw badLine(path, index, cause instanceof Error ? cause.message : String(cause));
  }
}

function badLine(path: string, index: number, problem: string): InputError {
  return new InputError('SYNTAX', `${path}, line ${index + 1}: ${problem}`, {
    remedy: 'see docs/selectors.md for policy files',
    details: { file: path, line: index + 1 },
  });
}

/**
 * The rules for one who asks: where the file has tenants, everything outside the asker's share is denied;
 * inside it the file's rules decide.
 */
export function rulesFor(
  { rules, tenants }: PolicyFile,
  asker: string | undefined,
): readonly Rule[] {
  if (tenants.length === 0) return rules;
  const tenant = tenants.find(({ name }) => name === asker);
  const share: Rule =
    tenant === undefined
      ? {
          id: 'tenant.none',
          action: 'deny',
          expression: parseShort('has:kind'),
          about:
            asker === undefined ? 'nobody is named as the one who asks' : `${asker} is no tenant`,
          final: true,
        }
      : {
          id: tenant.rule.id,
          action: 'deny',
          expression: { kind: 'not', of: tenant.rule.expression },
          about: `it is outside the share of ${tenant.name}`,
          final: true,
        };
  return [share, ...rules];
}
