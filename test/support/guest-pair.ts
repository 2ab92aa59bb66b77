import { isDeepStrictEqual } from 'node:util';
import {
  isJsonObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../src/json.js';
import { connectUnix } from '../../src/qmp/unix-transport.js';
import {
  createWorld,
  type QemuConfig,
  type VirtualMachine,
  type World,
} from '../../src/simulator/index.js';
import { RawClient } from '../simulator/raw-client.js';
import { BARRIER, type Peer, type Step } from './agreement.js';
import { comparableReply, firstDifference, show } from './compare-machines.js';
import { peripherals, readTree, sorted } from './device-tree.js';
import { placesInGuest } from './guest-places.js';
import type { Guest } from './qemu.js';

/*
 * With an operating system a command has consequences that take their time, and the simulated guest's times are
 * not those of a real one. So each command goes to both, virtual time runs until the simulated guest has nothing
 * left to do, and the real machine must come to the same: the same devices in QEMU and in the guest, the same
 * events. What is asked of a guest that has not answered yet is asked while the VM is stopped, where both have
 * all the time in the world.
 */

/** Longest that a guest takes for a command: a restart, or six seconds of a native unplug, on a slow machine. */
const REAL_DEADLINE_MS = 60_000;
const LOOK_AGAIN_MS = 40;
const LOOK_SELDOM_MS = 250;
/** A native unplug and a restart are over. */
const VIRTUAL_MS = 20_000;
/** In which a guest that was asked in vain would have let go: a port's latch, and far more than an ACPI event. */
const IN_VAIN_SECONDS = { native: 6, acpi: 0.4 };

/** A machine with a Linux guest, and its simulation. */
export interface GuestPair {
  readonly real: Peer;
  readonly copy: Peer;
  readonly guest: Guest;
  readonly vm: VirtualMachine;
  readonly world: World;
  /** A reset has ended the guest, and nothing has run since. */
  mustBoot: boolean;
}

export async function connectPair(guest: Guest, config: QemuConfig): Promise<GuestPair> {
  const world = createWorld({ seed: 0, qemu: config });
  const vm = world.vm();
  const real: Peer = {
    client: new RawClient(await connectUnix(guest.qmpPath)),
    wait: (promise) => promise,
  };
  const copy: Peer = {
    client: new RawClient(vm.connect(vm.addresses[0] ?? '')),
    wait: (promise) => world.run(promise),
  };
  for (const { client, wait } of [real, copy]) await wait(client.negotiate(['oob']));
  return { real, copy, guest, vm, world, mustBoot: false };
}

/** What differs after the first step after which something does, in words. */
export async function compareSteps(
  pair: GuestPair,
  steps: readonly Step[],
): Promise<string | undefined> {
  for (const [at, step] of steps.entries()) {
    const difference = await compareStep(pair, step);
    if (difference !== undefined) return `step ${at} ${JSON.stringify(step)}: ${difference}`;
  }
  return undefined;
}

async function compareStep(pair: GuestPair, step: Step): Promise<string | undefined> {
  const { real, copy, guest, vm, world } = pair;
  if (step[0] === 'system_reset') {
    guest.forgetBoot();
    pair.mustBoot = true;
  }
  const ask = ({ client, wait }: Peer) => wait(client.command(...step));
  const [simulated, answer] = [await ask(copy), await ask(real)];
  const given = comparable(comparableReply(step, simulated));
  const told = comparable(comparableReply(step, answer));
  if (!isDeepStrictEqual(told, given)) return `real ${show(told)}, not ${show(given)}`;
  await world.clock.advance(VIRTUAL_MS);
  if (pair.mustBoot && vm.machine.running) {
    await guest.waitUntilReady();
    pair.mustBoot = false;
  }
  await waitForNothing(pair, step);
  return comesToTheSame(pair, 'return' in answer && !READS.has(step[0]));
}

/** Change nothing. What a refusal changed all the same, the look after the next change shows. */
const READS = new Set(['qom-get', 'qom-list', 'query-pci', 'query-status']);

/** A device that keeps sitting where it was asked for: the real one has its time to do otherwise. */
async function waitForNothing({ vm, guest }: GuestPair, [command]: Step): Promise<void> {
  if (!ASKS_OR_STARTS.has(command) || !vm.machine.running) return;
  const asked = vm.machine.devices.filter(({ unplugLatchMs }) => unplugLatchMs !== undefined);
  if (asked.length === 0) return;
  const native = asked.some(({ bus }) => bus.hotplug !== 'acpi');
  await guest.run(`sleep ${native ? IN_VAIN_SECONDS.native : IN_VAIN_SECONDS.acpi}`);
}

const ASKS_OR_STARTS = new Set(['device_del', 'system_reset', 'cont']);

async function comesToTheSame(pair: GuestPair, whole: boolean): Promise<string | undefined> {
  const { real, copy } = pair;
  const names = await placesOf(copy, placesOfSimulated(pair.vm));
  const treeOf = async (peer: Peer) => (whole ? comparable(await readTree(peer)) : null);
  const tree = await treeOf(copy);
  const events = eventsOf(copy);
  const deadline = Date.now() + REAL_DEADLINE_MS;
  for (let pauseMs = LOOK_AGAIN_MS; ; pauseMs = Math.min(pauseMs * 1.2, LOOK_SELDOM_MS)) {
    const late = Date.now() > deadline;
    const found = await placesOf(real, await inGuest(pair));
    const settled = isDeepStrictEqual(found, names);
    if (!settled && late) return `comes to ${firstDifference(found, names)}`;
    if (settled) {
      const foundTree = await treeOf(real);
      const differs = !isDeepStrictEqual(foundTree, tree);
      if (differs && late) return `comes to ${firstDifference(foundTree, tree)}`;
      if (!differs) break;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  if (!isDeepStrictEqual(eventsOf(real), events)) await real.client.command(...BARRIER);
  const seen = eventsOf(real);
  for (const { client } of [real, copy]) client.events.length = 0;
  return isDeepStrictEqual(seen, events) ? undefined : `events: ${firstDifference(seen, events)}`;
}

/** What is cheap to look at, over and over: which devices QEMU has, and which the guest. */
const placesOf = async (peer: Peer, guest: JsonValue): Promise<JsonValue> => ({
  devices: [...(await peripherals(peer))].sort(),
  guest,
});

/** While nothing runs after a reset, nobody can say. */
const inGuest = async ({ mustBoot, vm, guest }: GuestPair): Promise<JsonValue> =>
  mustBoot ? placesOfSimulated(vm) : placesInGuest(guest);

const comparable = (value: JsonValue): JsonValue => sorted(withoutWindows(unnumbered(value)));

/** What Linux gives out anew: the bridges' windows, and after a restart their numbers. */
const GIVEN_BY_LINUX = ['sizes', 'numbers'];

function withoutWindows(tree: JsonValue): JsonValue {
  if (Array.isArray(tree)) return (tree as readonly JsonValue[]).map(withoutWindows);
  if (!isJsonObject(tree)) return tree;
  const members = Object.entries(tree).filter(([name]) => !GIVEN_BY_LINUX.includes(name));
  return Object.fromEntries(
    members.map(([name, member]) => [name, withoutWindows(member ?? null)]),
  );
}

/** The guest's machine has two serial ports besides, which count among the unattached devices. */
const unnumbered = (value: JsonValue): JsonValue =>
  parseJson(stringifyJson(value).replaceAll(/\/unattached\/device\[\d+\]\//g, '/unattached/'));

/** `<port> <slot>.<function>` of the hot-added devices that the operating system uses. */
function placesOfSimulated({ guest }: VirtualMachine): JsonValue {
  return guest.devices
    .map(({ bus, devfn }) => `${bus.bridge?.id ?? bus.name} ${devfn >> 3}.${devfn & 7}`)
    .sort();
}

/** Since the last step, in an order of their own; firmware resets the machine when it likes. */
function eventsOf({ client }: Peer): JsonValue {
  const own = client.events.filter(
    ({ event, data }) => !(event === 'RESET' && data.guest === true),
  );
  return sorted(own.map(({ event, data }): JsonObject => ({ event, data })));
}
