import type { JsonValue } from '../json.js';
import { ReplyValue } from './guards.js';
import type { ExecuteOptions, QmpSession } from './session.js';

/** A property of a QOM object or of a type. Children of an object are properties too. */
export interface QomProperty {
  readonly name: string;
  /** `child<pcie-root-port>`, `link<irq>`, `str`, `uint32` ... As QEMU sent it. */
  readonly type: string;
  /** Absent for properties without one; numbers beyond 2^53 are bigints. */
  readonly defaultValue: JsonValue | undefined;
}

/** Properties and children of an object. The order is QEMU's: none. */
export async function qomList(
  session: QmpSession,
  path: string,
  options?: ExecuteOptions,
): Promise<readonly QomProperty[]> {
  return readProperties('qom-list', await session.execute('qom-list', { path }, options));
}

/** The type inside `child<...>`; undefined for a property that is no child. */
export function childType(property: QomProperty): string | undefined {
  return /^child<(.*)>$/s.exec(property.type)?.[1];
}

/** One property as it comes: any JSON value. The typed readers below check it. */
export function qomGet(
  session: QmpSession,
  path: string,
  property: string,
  options?: ExecuteOptions,
): Promise<JsonValue> {
  return session.execute('qom-get', { path, property }, options);
}

/** A property of type text, link or child: a QOM path for the last two, `""` when unset. */
export async function qomGetString(
  session: QmpSession,
  path: string,
  property: string,
  options?: ExecuteOptions,
): Promise<string> {
  return readGot(path, property, await qomGet(session, path, property, options)).string();
}

export async function qomGetBoolean(
  session: QmpSession,
  path: string,
  property: string,
  options?: ExecuteOptions,
): Promise<boolean> {
  return readGot(path, property, await qomGet(session, path, property, options)).boolean();
}

/** A property of an unsigned type up to 64 bits; an unset reserve reads 2^64 - 1. */
export async function qomGetUint64(
  session: QmpSession,
  path: string,
  property: string,
  options?: ExecuteOptions,
): Promise<bigint> {
  return readGot(path, property, await qomGet(session, path, property, options)).uint64();
}

/** `addr` of a PCI device: devfn, 0-255 (an integer in every version, whatever its type says). */
export async function qomGetDevfn(
  session: QmpSession,
  path: string,
  options?: ExecuteOptions,
): Promise<number> {
  const devfn = await qomGet(session, path, 'addr', options);
  return readGot(path, 'addr', devfn).integer(0, 0xff);
}

/** An object's property with its value, as `qom-list-get` gives it. */
export interface QomValue {
  readonly name: string;
  readonly type: string;
  /** Absent where QEMU could not read it. */
  readonly value: JsonValue | undefined;
}

/** All properties with values of several objects, in the order of the paths. Since QEMU 10.1. */
export async function qomListGet(
  session: QmpSession,
  paths: readonly string[],
  options?: ExecuteOptions,
): Promise<readonly (readonly QomValue[])[]> {
  const command = 'qom-list-get';
  const reply = ReplyValue.of(command, await session.execute(command, { paths }, options));
  const objects = reply.items();
  if (objects.length !== paths.length) throw reply.refuse(`${paths.length} objects`);
  return objects.map((object) =>
    object
      .member('properties')
      .items()
      .map((property) => ({
        name: property.member('name').string(),
        type: property.member('type').string(),
        value: property.member('value').raw,
      })),
  );
}

/** What `device_add` knows for a driver, by name. The truth about versions and builds. */
export async function deviceListProperties(
  session: QmpSession,
  typename: string,
  options?: ExecuteOptions,
): Promise<ReadonlyMap<string, QomProperty>> {
  const command = 'device-list-properties';
  const reply = await session.execute(command, { typename }, options);
  return byName(readProperties(command, reply));
}

/** Like `deviceListProperties`, for a type that need not be a device (`iommufd`). */
export async function qomListProperties(
  session: QmpSession,
  typename: string,
  options?: ExecuteOptions,
): Promise<ReadonlyMap<string, QomProperty>> {
  const command = 'qom-list-properties';
  const reply = await session.execute(command, { typename }, options);
  return byName(readProperties(command, reply));
}

const byName = (properties: readonly QomProperty[]) =>
  new Map(properties.map((property) => [property.name, property] as const));

function readProperties(command: string, reply: JsonValue): readonly QomProperty[] {
  return ReplyValue.of(command, reply)
    .items()
    .map((property) => ({
      name: property.member('name').string(),
      type: property.member('type').string(),
      defaultValue: property.member('default-value').raw,
    }));
}

const readGot = (path: string, property: string, value: JsonValue) =>
  ReplyValue.of(`qom-get ${path} ${property}`, value);
