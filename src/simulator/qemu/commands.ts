import type { JsonObject, JsonValue } from '../../json.js';
import { deleteDevice } from './device-del.js';
import { addDevice } from './device-add.js';
import { deviceType, FOREIGN_TYPES } from './device-types.js';
import { deviceNotFound, QmpFailure } from './failure.js';
import { resetMachine } from './hotplug.js';
import type { Machine } from './machine.js';
import { isMainframe } from './mainframe-buses.js';
import { mainframeType } from './mainframe.js';
import type { NamedFiles } from './named-files.js';
import { qomGet, qomList } from './qom.js';
import { queryPci } from './query-pci.js';
import { ramOf } from './vfio-device.js';

/** A command's arguments and what it does, at one instant of the main loop. */
interface Command {
  /** Names of required and optional arguments; undefined lets everything through. */
  readonly takes: { readonly required: readonly string[]; readonly optional?: readonly string[] };
  readonly anything?: boolean;
  readonly run: (machine: Machine, args: JsonObject, files: NamedFiles) => JsonValue;
}

const NOTHING = { required: [] } as const;

const command = (
  required: readonly string[],
  run: Command['run'],
  optional: readonly string[] = [],
): Command => ({ takes: { required, optional }, run });

/** Checked to be a string before any command runs. */
const text = (args: JsonObject, name: string) => args[name] as string;

const COMMANDS: Readonly<Record<string, Command>> = {
  'query-version': {
    takes: NOTHING,
    run: ({ release: { major, minor, micro, package: name } }) => ({
      qemu: { major, minor, micro },
      package: name,
    }),
  },
  'query-status': {
    takes: NOTHING,
    run: (machine) => ({
      status: machine.runState,
      ...(machine.release.singlestep ? { singlestep: false } : {}),
      running: machine.running,
    }),
  },
  'query-name': {
    takes: NOTHING,
    run: ({ config }) => (config.name === undefined ? {} : { name: config.name }),
  },
  'query-uuid': {
    takes: NOTHING,
    run: ({ config }) => ({ UUID: config.uuid ?? '00000000-0000-0000-0000-000000000000' }),
  },
  'query-target': {
    takes: NOTHING,
    run: ({ config }) => ({ arch: isMainframe(config) ? 's390x' : 'x86_64' }),
  },
  'query-memory-size-summary': {
    takes: NOTHING,
    run: (machine) => ({ 'base-memory': Number(ramOf(machine)), 'plugged-memory': 0 }),
  },
  'query-migrate': { takes: NOTHING, run: () => ({}) },
  'query-balloon': {
    takes: NOTHING,
    run: () => {
      throw new QmpFailure('No balloon device has been activated', 'DeviceNotActive');
    },
  },
  'query-commands': {
    takes: NOTHING,
    run: (machine) => commandNames(machine).map((name) => ({ name })),
  },
  'query-pci': { takes: NOTHING, run: queryPci },
  'qom-list': command(['path'], (machine, args) => qomList(machine, text(args, 'path'))),
  'qom-get': command(['path', 'property'], (machine, args) =>
    qomGet(machine, text(args, 'path'), text(args, 'property')),
  ),
  'device-list-properties': command(['typename'], (machine, args) =>
    listProperties(machine, text(args, 'typename')),
  ),
  'qom-list-properties': command(['typename'], (machine, args) =>
    listProperties(machine, text(args, 'typename')),
  ),
  getfd: command(['fdname'], (_machine, args, files) => {
    files.name(text(args, 'fdname'));
    return {};
  }),
  closefd: command(['fdname'], (_machine, args, files) => {
    files.close(text(args, 'fdname'));
    return {};
  }),
  device_add: {
    takes: NOTHING,
    anything: true,
    run: (machine, args, files) => {
      addDevice(machine, args, true, files);
      return {};
    },
  },
  device_del: command(['id'], (machine, args) => {
    deleteDevice(machine, text(args, 'id'));
    return {};
  }),
  'object-add': {
    takes: NOTHING,
    anything: true,
    run: (machine, args, files) => {
      addObject(machine, args, files);
      return {};
    },
  },
  'object-del': command(['id'], (machine, args) => {
    deleteObject(machine, text(args, 'id'));
    return {};
  }),
  system_reset: {
    takes: NOTHING,
    run: (machine) => {
      resetMachine(machine, false);
      return {};
    },
  },
  stop: {
    takes: NOTHING,
    run: (machine) => {
      machine.stop();
      return {};
    },
  },
  cont: {
    takes: NOTHING,
    run: (machine) => {
      machine.cont();
      return {};
    },
  },
  quit: {
    takes: NOTHING,
    run: (machine) => {
      machine.emit('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
      return {};
    },
  },
};

/** In both releases; `qmp_capabilities` only says that it is done already. */
function commandNames(machine: Machine): readonly string[] {
  return ['qmp_capabilities', ...Object.keys(COMMANDS)].filter((name) => isKnown(machine, name));
}

function isKnown(_machine: Machine, name: string): boolean {
  return name === 'qmp_capabilities' || Object.hasOwn(COMMANDS, name);
}

/**
 * Runs one command of a negotiated monitor.
 *
 * @throws {QmpFailure}
 */
export function runCommand(
  machine: Machine,
  { name, args, files }: { name: string; args: JsonObject; files: NamedFiles },
): JsonValue {
  const found = findCommand(machine, name);
  if (found.anything !== true) checkArguments(found, args);
  return found.run(machine, args, files);
}

/** @throws {QmpFailure} CommandNotFound */
export function findCommand(machine: Machine, name: string): Command {
  const found = isKnown(machine, name) ? COMMANDS[name] : undefined;
  if (found === undefined) {
    throw new QmpFailure(`The command ${name} has not been found`, 'CommandNotFound');
  }
  return found;
}

/** In the order of QAPI's generated visitors: each wanted member, then what is left over. */
function checkArguments({ takes }: Command, args: JsonObject): void {
  for (const name of takes.required) {
    const value = args[name];
    if (value === undefined) throw new QmpFailure(`Parameter '${name}' is missing`);
    if (typeof value !== 'string') {
      throw new QmpFailure(`Invalid parameter type for '${name}', expected: string`);
    }
  }
  const known = [...takes.required, ...(takes.optional ?? [])];
  const unexpected = Object.keys(args).find((name) => !known.includes(name));
  if (unexpected !== undefined) throw new QmpFailure(`Parameter '${unexpected}' is unexpected`);
}

function listProperties(machine: Machine, typeName: string): JsonValue {
  const type = isMainframe(machine.config)
    ? mainframeType(typeName)
    : deviceType(typeName, machine.releaseName);
  if (typeName === 'iommufd' && machine.release.iommufd) return [{ name: 'fd', type: 'str' }];
  if (type === undefined) {
    if (FOREIGN_TYPES.has(typeName)) return [];
    throw deviceNotFound(typeName);
  }
  return type.properties.map(({ name, type: valueType, defaultValue }) => ({
    name,
    type: valueType,
    ...(defaultValue === undefined ? {} : { 'default-value': defaultValue }),
  }));
}

const OBJECT_TYPES = ['rng-random', 'rng-builtin'];
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9\-._]*$/;

function addObject(machine: Machine, args: JsonObject, files: NamedFiles): void {
  const { 'qom-type': type, id, fd } = args;
  if (typeof type !== 'string') throw new QmpFailure("Parameter 'qom-type' is missing");
  const known = OBJECT_TYPES.includes(type) || (type === 'iommufd' && machine.release.iommufd);
  if (!known) throw new QmpFailure(`Parameter 'qom-type' does not accept value '${type}'`);
  if (typeof id !== 'string') throw new QmpFailure("Parameter 'id' is missing");
  if (machine.objects.has(id)) {
    throw new QmpFailure(`attempt to add duplicate property '${id}' to object (type 'container')`);
  }
  if (!IDENTIFIER.test(id)) throw new QmpFailure("Parameter 'id' expects an identifier");
  const file = type === 'iommufd' && typeof fd === 'string' ? files.take(fd) : undefined;
  machine.objects.set(id, { type, fd: file });
}

function deleteObject(machine: Machine, id: string): void {
  if (!machine.objects.has(id)) throw new QmpFailure(`object '${id}' not found`);
  const used = machine.devices.some(({ properties }) => properties.get('iommufd') === id);
  if (used) throw new QmpFailure(`object '${id}' is in use, can not be deleted`);
  // What was handed over is not closed: `owned` is false (backends/iommufd.c, 10.0).
  machine.objects.delete(id);
}
