import type { JsonObject, JsonValue } from '../../src/json.js';
import { createWorld, type World, type WorldConfig } from '../../src/simulator/index.js';
import { RawClient, type Reply } from './raw-client.js';

/** A simulated VM with a negotiated client, driven step by step. */
export class BenchVm {
  readonly world: World;
  readonly client: RawClient;

  private constructor(world: World, client: RawClient) {
    this.world = world;
    this.client = client;
  }

  static async start(config: Partial<WorldConfig> = {}): Promise<BenchVm> {
    const world = createWorld({ seed: 1, ...config });
    const [address = ''] = world.vm().addresses;
    const client = new RawClient(world.connect(address));
    await world.run(client.negotiate(['oob']));
    return new BenchVm(world, client);
  }

  get nowMs(): number {
    return this.world.clock.now();
  }

  /** Sends a command and lets time pass until it is answered. */
  ask(command: string, args?: JsonObject): Promise<Reply> {
    return this.world.run(this.client.command(command, args));
  }

  /** The value of a command that must succeed. */
  async value(command: string, args?: JsonObject): Promise<JsonValue> {
    const reply = await this.ask(command, args);
    if ('error' in reply) throw new Error(`${command}: ${reply.error.desc}`);
    return reply.return;
  }

  /** The text of a command's refusal. */
  async refusal(command: string, args?: JsonObject): Promise<string> {
    const reply = await this.ask(command, args);
    if ('return' in reply) throw new Error(`${command} succeeded`);
    return reply.error.desc;
  }

  add(id: string, bus: string, more: JsonObject = {}): Promise<JsonValue> {
    return this.value('device_add', { driver: 'pci-testdev', id, bus, addr: '0x0', ...more });
  }

  del(id: string): Promise<JsonValue> {
    return this.value('device_del', { id });
  }

  advance(milliseconds: number): Promise<void> {
    return this.world.clock.advance(milliseconds);
  }

  /** Lets time pass until DEVICE_DELETED for the id; how long it took, in ms. */
  async untilDeleted(id: string): Promise<number> {
    const startMs = this.nowMs;
    await this.world.run(this.client.until(() => this.client.deleted.includes(id)));
    return this.nowMs - startMs;
  }

  /** qdev ids and more that `qom-list` finds under /machine/peripheral. */
  async peripherals(): Promise<readonly string[]> {
    const entries = await this.value('qom-list', { path: '/machine/peripheral' });
    // The simulator's own answer: a list of objects with a name.
    return (entries as unknown as readonly { readonly name: string }[])
      .map(({ name }) => name)
      .filter((name) => name !== 'type')
      .sort();
  }

  /** The entry of one device in `query-pci`, wherever it is. */
  async pciEntry(id: string): Promise<JsonObject | undefined> {
    const pci = await this.value('query-pci');
    return findEntry(pci as readonly JsonObject[], id);
  }
}

function findEntry(buses: readonly JsonObject[], id: string): JsonObject | undefined {
  for (const { devices } of buses) {
    for (const device of (devices ?? []) as readonly JsonObject[]) {
      if (device.qdev_id === id) return device;
      const below = device.pci_bridge as JsonObject | undefined;
      const found = below && findEntry([below], id);
      if (found) return found;
    }
  }
  return undefined;
}

/** Addresses of a device's regions by BAR; -1 where the guest has not placed one. */
export function addressesOf(entry: JsonObject | undefined): Readonly<Record<number, JsonValue>> {
  const regions = (entry?.regions ?? []) as readonly JsonObject[];
  return Object.fromEntries(
    regions.map((region) => [Number(region.bar), region.address ?? null] as const),
  );
}
