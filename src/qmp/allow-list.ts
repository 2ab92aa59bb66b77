import { InputError } from '../errors.js';
import type { JsonObject, JsonValue } from '../json.js';
import { excerpt } from '../text.js';
import { ARGUMENT_KINDS, type ArgumentKind, type ArgumentRule } from './argument-kinds.js';
import { DRIVER_RULES } from './device-properties.js';

/** The arguments of a command; a kind that ends in `?` may be left out. */
type ArgumentRules = Readonly<Record<string, ArgumentKind | `${ArgumentKind}?`>>;

/**
 * Every command that a session sends. A monitor has the full authority of QEMU's user (`migrate`
 * runs programs, `blockdev-add` opens files), so what is not needed is not sent.
 */
export const ALLOWED_COMMANDS = {
  /** Checked against the driver's own properties. */
  device_add: 'by driver',
  device_del: { id: 'deviceRef' },
  'device-sync-config': { id: 'id' },
  'object-add': { 'qom-type': 'iommufd', id: 'id', fd: 'fdName?' },
  'object-del': { id: 'id' },
  'qom-list': { path: 'qomPath' },
  'qom-get': { path: 'qomPath', property: 'name' },
  'qom-list-get': { paths: 'qomPaths' },
  'qom-list-properties': { typename: 'name' },
  'device-list-properties': { typename: 'name' },
  'query-balloon': {},
  'query-command-line-options': { option: 'name?' },
  'query-commands': {},
  'query-fdsets': {},
  'query-machines': { 'compat-props': 'boolean?' },
  'query-memory-size-summary': {},
  'query-migrate': {},
  'query-name': {},
  'query-pci': {},
  'query-qmp-schema': {},
  'query-status': {},
  'query-target': {},
  'query-uuid': {},
  'query-version': {},
  getfd: { fdname: 'fdName' },
  closefd: { fdname: 'fdName' },
  'add-fd': { 'fdset-id': 'uint32?', opaque: 'label?' },
  'remove-fd': { 'fdset-id': 'uint32', fd: 'uint32?' },
  system_reset: {},
  stop: {},
  cont: {},
} as const satisfies Readonly<Record<string, ArgumentRules | 'by driver'>>;

export type AllowedCommand = keyof typeof ALLOWED_COMMANDS;

/** Whether a session would send this command at all. */
export function isAllowedCommand(command: string): command is AllowedCommand {
  return Object.hasOwn(ALLOWED_COMMANDS, command);
}

/**
 * Checks a command before it is sent.
 *
 * @throws {InputError} `COMMAND_NOT_ALLOWED`, `PROPERTY_NOT_ALLOWED`, `BAD_ID`, `BAD_ARGUMENT`
 */
export function checkCommand(
  command: string,
  args: JsonObject | undefined,
): asserts command is AllowedCommand {
  if (!isAllowedCommand(command)) {
    throw new InputError('COMMAND_NOT_ALLOWED', `${excerpt(command)} is not a command we send`, {
      details: { command },
    });
  }
  const rules: ArgumentRules | 'by driver' = ALLOWED_COMMANDS[command];
  if (rules === 'by driver') checkDeviceAdd(args ?? {});
  else checkArguments(command, rules, args ?? {});
}

/**
 * Checks the arguments of `device_add`. QEMU aborts on some ids and has crashed on odd sets of
 * properties, and many properties name files: only known ones of known drivers pass, with JSON
 * types that every version since 7.2 takes.
 *
 * @throws {InputError} `PROPERTY_NOT_ALLOWED`, `BAD_ID`, `BAD_ARGUMENT`
 */
export function checkDeviceAdd(args: JsonObject): void {
  const { driver, id } = args;
  const rule = typeof driver === 'string' ? DRIVER_RULES.get(driver) : undefined;
  // Either there is no rule, or the driver is one of our own names.
  if (typeof driver !== 'string' || !rule) {
    throw new InputError(
      'PROPERTY_NOT_ALLOWED',
      `device_add: ${show(driver)} is not a driver that may be added`,
      { remedy: 'use vfio-pci, or one of the emulated devices', details: { property: 'driver' } },
    );
  }
  checkArgument('device_add', 'id', 'id', id);
  const subject = `device_add ${driver} ${show(id)}`;
  for (const [name, value] of Object.entries(args)) {
    if (name === 'driver' || name === 'id' || value === undefined) continue;
    const kind = Object.hasOwn(rule.properties, name) ? rule.properties[name] : undefined;
    if (kind === undefined) throw notAllowed(subject, name);
    checkArgument(subject, name, kind, value);
  }
  for (const group of [...rule.exactlyOne, ...(rule.hostDevice ? [rule.hostDevice] : [])]) {
    const given = group.filter((name) => args[name] !== undefined);
    // With a descriptor QEMU opens nothing, and what else names the device is for whoever reads it back.
    const isNamed = group === rule.hostDevice && args.fd !== undefined && given.length === 0;
    if (given.length === 1 || isNamed) continue;
    throw new InputError(
      'BAD_ARGUMENT',
      given.length === 0
        ? `${subject}: ${group.join(' or ')} is missing`
        : `${subject}: ${given.join(' and ')} exclude each other`,
      { details: { driver, id, properties: group } },
    );
  }
  if (args.fd !== undefined && args.iommufd === undefined) {
    throw new InputError('BAD_ARGUMENT', `${subject}: fd needs iommufd`, {
      details: { driver, id, properties: ['iommufd'] },
    });
  }
}

function checkArguments(command: AllowedCommand, rules: ArgumentRules, args: JsonObject): void {
  for (const [name, value] of Object.entries(args)) {
    if (value !== undefined && !Object.hasOwn(rules, name)) throw notAllowed(command, name);
  }
  for (const [name, kind] of Object.entries(rules)) {
    const value = args[name];
    if (kind.endsWith('?') && value === undefined) continue;
    // Without its question mark the text is a kind again.
    checkArgument(command, name, kind.replace('?', '') as ArgumentKind, value);
  }
}

function checkArgument(
  subject: string,
  name: string,
  kind: ArgumentKind,
  value: JsonValue | undefined,
): void {
  const { expected, accepts }: ArgumentRule = ARGUMENT_KINDS[kind];
  if (value !== undefined && accepts(value)) return;
  throw new InputError(
    name === 'id' ? 'BAD_ID' : 'BAD_ARGUMENT',
    `${subject}: ${name} must be ${expected}, not ${show(value)}`,
    { details: { argument: name } },
  );
}

const notAllowed = (subject: string, name: string) =>
  new InputError('PROPERTY_NOT_ALLOWED', `${subject}: ${excerpt(name)} may not be set`, {
    details: { property: name },
  });

function show(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'object' ? 'a structure' : excerpt(JSON.stringify(value), 80);
}
