import type { JsonObject, JsonValue } from '../../src/json.js';
import { CommandError } from '../../src/qmp/failures.js';
import type { QmpSession } from '../../src/qmp/session.js';

/** An object of the tree: property name to value, or `child<...>`/`link<...>` types by `types`. */
export interface FakeObject {
  readonly properties?: Readonly<Record<string, JsonValue>>;
  /** Entries of `qom-list` beside `type`: names with their types. */
  readonly entries?: Readonly<Record<string, string>>;
}

/**
 * A QEMU that has nothing but an object tree and a few queries. Tests change `objects`, `replies` and
 * `intercept` to make it say what they need.
 */
export class FakeQom {
  readonly objects = new Map<string, FakeObject>();
  readonly replies = new Map<string, JsonValue>([
    ['query-target', { arch: 'x86_64' }],
    ['query-status', { status: 'running', running: true }],
    ['query-memory-size-summary', { 'base-memory': 134217728, 'plugged-memory': 0 }],
    ['query-pci', []],
  ]);
  readonly sent: string[] = [];
  /** Called before each command; may throw or answer by itself. */
  intercept: (command: string, args: JsonObject) => JsonValue | undefined = () => undefined;

  constructor() {
    this.objects.set('/machine', { properties: { type: 'pc-q35-7.2-machine', acpi: 'auto' } });
    this.objects.set('/machine/peripheral', {});
    this.objects.set('/objects', {});
    this.objects.set('/machine/q35', { properties: { type: 'q35-pcihost' } });
    this.objects.set('/machine/lpc', { properties: { type: 'ICH9-LPC' } });
  }

  /** A root port with ACPI hot-plug on pcie.0, `devfn` being its address. */
  addPort(id: string, devfn: number, properties: Record<string, JsonValue> = {}): this {
    this.addDevice(id, 'pcie-root-port', {
      addr: devfn,
      parent_bus: '/machine/q35/pcie.0',
      chassis: 1,
      slot: devfn,
      hotplug: true,
      'mem-reserve': 2n ** 64n - 1n,
      'pref64-reserve': 2n ** 64n - 1n,
      ...properties,
    });
    this.objects.set(`/machine/peripheral/${id}/${id}`, {
      properties: { 'hotplug-handler': '/machine/lpc', 'acpi-pcihp-bsel': 0 },
      entries: { 'acpi-pcihp-bsel': 'uint32', 'hotplug-handler': 'link<hotplug-handler>' },
    });
    return this;
  }

  addDevice(id: string, type: string, properties: Record<string, JsonValue>): this {
    this.entry('/machine/peripheral', id, `child<${type}>`);
    this.objects.set(`/machine/peripheral/${id}`, { properties });
    return this;
  }

  /** A device on a bus, with the bus's link to it. */
  plug(bus: string, id: string, type = 'pci-testdev', properties: Record<string, JsonValue> = {}) {
    this.addDevice(id, type, { addr: 0, parent_bus: bus, ...properties });
    this.link(bus, `/machine/peripheral/${id}`, type);
    return this;
  }

  link(bus: string, target: JsonValue, type = 'pci-testdev'): this {
    const count = Object.keys(this.objects.get(bus)?.entries ?? {}).length;
    this.entry(bus, `child[${count}]`, `link<${type}>`);
    return this.set(bus, `child[${count}]`, target);
  }

  set(path: string, property: string, value: JsonValue): this {
    const object = this.objects.get(path) ?? {};
    this.objects.set(path, { ...object, properties: { ...object.properties, [property]: value } });
    return this;
  }

  entry(path: string, name: string, type: string): this {
    const object = this.objects.get(path) ?? {};
    this.objects.set(path, { ...object, entries: { ...object.entries, [name]: type } });
    return this;
  }

  get session(): QmpSession {
    return {
      address: 'fake',
      version: { major: 7, minor: 2, micro: 22, package: '' },
      execute: async (command, args = {}) => this.#answer(command, args),
      fileObstacle: () => Promise.resolve('a fake has no descriptors'),
      onEvent: () => () => undefined,
      closed: new Promise(() => undefined),
      close: async () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  #answer(command: string, args: JsonObject): JsonValue {
    // All arguments of the commands that a snapshot needs are texts.
    const { path = '', property = '' } = args as Partial<Record<string, string>>;
    this.sent.push(`${command} ${path} ${property}`.trim());
    const answer = this.intercept(command, args) ?? this.replies.get(command);
    if (answer !== undefined) return answer;
    const object = this.objects.get(path);
    if (object === undefined) {
      const desc = `Device '${path}' not found`;
      throw new CommandError(command, args, { class: 'DeviceNotFound', desc });
    }
    if (command === 'qom-list') {
      const entries = Object.entries(object.entries ?? {}).map(([name, type]) => ({ name, type }));
      return [{ name: 'type', type: 'string' }, ...entries];
    }
    const value = object.properties?.[property];
    if (value !== undefined) return value;
    throw new CommandError(command, args, {
      class: 'GenericError',
      desc: `Property 'thing.${property}' not found`,
    });
  }
}

/** A bridge as `query-pci` shows it. */
export function pciBridge(id: string, devfn: number, bus: Partial<Record<string, JsonValue>>) {
  const closed = { base: 0xfff00000, limit: 0xfffff };
  const { devices, ...numbers } = bus;
  return {
    bus: 0,
    slot: devfn >> 3,
    function: devfn & 7,
    qdev_id: id,
    class_info: { class: 0x604 },
    id: { vendor: 0x1b36, device: 12 },
    regions: [],
    pci_bridge: {
      bus: {
        number: 0,
        secondary: 0,
        subordinate: 0,
        io_range: closed,
        memory_range: closed,
        prefetchable_range: closed,
        ...numbers,
      },
      ...(devices === undefined ? {} : { devices }),
    },
  };
}
