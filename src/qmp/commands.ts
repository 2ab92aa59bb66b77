import type { JsonObject } from '../json.js';
import { excerpt } from '../text.js';
import { ReplyValue } from './guards.js';
import type { ExecuteOptions, QemuVersion, QmpSession } from './session.js';
import type { OpenFile } from './transport.js';

/**
 * Hot-adds a device; see `checkDeviceAdd` for what may be asked. Success means that QEMU has the
 * device, not that the guest does.
 *
 * @throws {InputError} nothing was sent.
 * @throws {CommandError} with `failure.kind` as its reason.
 */
export async function deviceAdd(
  session: QmpSession,
  device: DeviceAddArguments,
  options?: ExecuteOptions,
): Promise<void> {
  await session.execute('device_add', device, options);
}

/** `driver`, `id` and the driver's properties, named as QEMU names them. */
export interface DeviceAddArguments extends JsonObject {
  readonly driver: string;
  readonly id: string;
}

/**
 * Asks for a device's removal. Success means *requested*, never *removed*: the guest has to let
 * go first, and DEVICE_DELETED may come before this returns or never.
 */
export async function deviceDel(
  session: QmpSession,
  id: string,
  options?: ExecuteOptions,
): Promise<void> {
  await session.execute('device_del', { id }, options);
}

/** Makes an iommufd object (QEMU 9.0). It opens nothing: success proves nothing about the host. */
export async function objectAddIommufd(
  session: QmpSession,
  object: { readonly id: string; readonly fd?: string | undefined },
  options?: ExecuteOptions,
): Promise<void> {
  const { id, fd } = object;
  await session.execute('object-add', { 'qom-type': 'iommufd', id, fd }, options);
}

export async function objectDel(
  session: QmpSession,
  id: string,
  options?: ExecuteOptions,
): Promise<void> {
  await session.execute('object-del', { id }, options);
}

/**
 * Hands QEMU an open file under a name, which the next command of this monitor that uses the name takes up,
 * whether that command succeeds or not. A name that is given again replaces its file.
 *
 * @throws {RefusedError} `NO_FD_PASSING`: nothing was sent.
 */
export async function getFd(
  session: QmpSession,
  fdname: string,
  file: OpenFile,
  options?: Omit<ExecuteOptions, 'file'>,
): Promise<void> {
  await session.execute('getfd', { fdname }, { ...options, file });
}

/** Gives back a file descriptor that was passed to this monitor with `getfd`. */
export async function closeFd(
  session: QmpSession,
  fdname: string,
  options?: ExecuteOptions,
): Promise<void> {
  await session.execute('closefd', { fdname }, options);
}

export interface VmStatus {
  /** RunState: `running`, `paused`, `prelaunch`, `internal-error` ... Safe to print. */
  readonly status: string;
  readonly running: boolean;
}

export async function queryStatus(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<VmStatus> {
  const reply = await query(session, 'query-status', options);
  return {
    status: excerpt(reply.member('status').string()),
    running: reply.member('running').boolean(),
  };
}

export async function queryVersion(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<QemuVersion> {
  const reply = await query(session, 'query-version', options);
  const qemu = reply.member('qemu');
  const part = (name: string) => qemu.member(name).integer(0, 9999);
  return {
    major: part('major'),
    minor: part('minor'),
    micro: part('micro'),
    package: excerpt(reply.member('package').string()),
  };
}

/** The VM's name; undefined where it has none. Safe to print. */
export async function queryName(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<string | undefined> {
  const name = (await query(session, 'query-name', options)).optional('name')?.string();
  return name === undefined ? undefined : excerpt(name);
}

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** The VM's UUID in lower case; undefined where it has none. */
export async function queryUuid(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<string | undefined> {
  const value = (await query(session, 'query-uuid', options)).member('UUID');
  const uuid = value.string().toLowerCase();
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) throw value.refuse('a UUID');
  return uuid === NO_UUID ? undefined : uuid;
}

/** The guest's architecture: `x86_64`, `aarch64`, `s390x` ... */
export async function queryTarget(session: QmpSession, options?: ExecuteOptions): Promise<string> {
  const arch = (await query(session, 'query-target', options)).member('arch');
  const text = arch.string();
  if (!/^[a-z0-9_]{1,32}$/.test(text)) throw arch.refuse('the name of an architecture');
  return text;
}

export interface MachineInfo {
  readonly name: string;
  readonly alias: string | undefined;
  readonly isDefault: boolean;
  readonly deprecated: boolean;
}

/** The machine types of the binary; which one runs, `qom-get /machine type` tells. */
export async function queryMachines(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<readonly MachineInfo[]> {
  const reply = await query(session, 'query-machines', options);
  return reply.items().map((machine) => ({
    name: machine.member('name').string(),
    alias: machine.optional('alias')?.string(),
    isDefault: machine.optional('is-default')?.boolean() ?? false,
    deprecated: machine.optional('deprecated')?.boolean() ?? false,
  }));
}

export interface MemorySize {
  /** RAM given at start, bytes. */
  readonly baseBytes: bigint;
  /** RAM hot-plugged since, bytes; undefined where the machine has no memory hot-plug. */
  readonly pluggedBytes: bigint | undefined;
}

export async function queryMemorySizeSummary(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<MemorySize> {
  const reply = await query(session, 'query-memory-size-summary', options);
  return {
    baseBytes: reply.member('base-memory').uint64(),
    pluggedBytes: reply.optional('plugged-memory')?.uint64(),
  };
}

/** The state of a migration (`active`, `completed` ...); undefined where none was started. */
export async function queryMigrate(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<string | undefined> {
  const status = (await query(session, 'query-migrate', options)).optional('status')?.string();
  return status === undefined ? undefined : excerpt(status);
}

/** Names of all commands that this QEMU has. */
export async function queryCommands(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<ReadonlySet<string>> {
  const reply = await query(session, 'query-commands', options);
  return new Set(reply.items().map((command) => command.member('name').string()));
}

/** The schema's entries, unchecked inside: 0.2 MB and 30-90 ms, so once per QEMU build. */
export async function queryQmpSchema(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<readonly JsonObject[]> {
  const reply = await query(session, 'query-qmp-schema', options);
  return reply.items().map((entry) => {
    entry.member('name').string();
    // `member` has just refused everything but objects.
    return entry.raw as JsonObject;
  });
}

/** Resets the guest. On x86 with ACPI hot-plug this completes pending removals. */
export async function systemReset(session: QmpSession, options?: ExecuteOptions): Promise<void> {
  await session.execute('system_reset', undefined, options);
}

/** Pauses the vCPUs. */
export async function stop(session: QmpSession, options?: ExecuteOptions): Promise<void> {
  await session.execute('stop', undefined, options);
}

/** Lets the vCPUs run. */
export async function cont(session: QmpSession, options?: ExecuteOptions): Promise<void> {
  await session.execute('cont', undefined, options);
}

async function query(
  session: QmpSession,
  command: string,
  options: ExecuteOptions | undefined,
): Promise<ReplyValue> {
  return ReplyValue.of(command, await session.execute(command, undefined, options));
}
