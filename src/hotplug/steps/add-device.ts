import type { StepHandler, Waiting } from '../../engine/index.js';
import { NoFitError } from '../../errors.js';
import { checkDeviceAdd } from '../../qmp/allow-list.js';
import { cdevNode, readCdev } from '../../host/cdev.js';
import type { HostEffects } from '../../host/effects.js';
import { isHeldBy } from '../../host/holders.js';
import { deviceAdd, type DeviceAddArguments } from '../../qmp/commands.js';
import { CommandError } from '../../qmp/failures.js';
import { queryPci, type PciBusInfo } from '../../qmp/query-pci.js';
import { qomGetDevfn, qomGetString, qomList } from '../../qmp/qom-commands.js';
import type { QmpSession } from '../../qmp/session.js';
import type { AddDevice } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { StepError } from '../../engine/step-errors.js';
import { liveFit } from '../live-fit.js';
import { passNode, requireCdevNode, takeBack } from '../pass-node.js';
import { presenceOf } from '../presence.js';
import { findById } from '../status.js';
import type { VmLink } from '../vm-link.js';
import { LOOK_AGAIN_MS, watchRemoval } from '../watch-removal.js';

/**
 * One `device_add` with bus and address spelled out, then the proof that the device sits exactly there. The
 * reads ride along with the command, so they cost no round trip of their own.
 */
export const addDevice: StepHandler<AddDevice, StepContext> = {
  async check(step) {
    checkDeviceAdd(commandOf(step));
  },

  async do(step, context) {
    const { vm, host } = context;
    const session = await vm.session();
    const { id, deadlineMs, judgeBars } = step;
    const command = withSecrets(step, context);
    const path = `/machine/peripheral/${id}`;
    await handOver(step, session, host);
    const added = deviceAdd(session, command, { deadlineMs });
    const [add, entries, parentBus, place, pci] = await Promise.allSettled([
      added,
      qomList(session, '/machine/peripheral'),
      qomGetString(session, path, 'parent_bus'),
      readPlace(session, step),
      judgeBars ? queryPci(session) : undefined,
    ]);
    if (add.status === 'rejected') await takeBackUnused(step, session, add.reason);
    else if ([parentBus, place].some(foundNothing)) throw leftAtOnce(id);
    // The command's own failure is the reason; the reads fail along with it.
    for (const result of [add, entries, parentBus, place, pci]) {
      if (result.status === 'rejected') throw result.reason;
    }
    verifyPlacement(step, valueOf(entries), valueOf(parentBus), valueOf(place));
    await refuseMisfit(step, context, valueOf(pci) ?? []);
  },

  /** QEMU said no: a device that has the id now is another client's. */
  changedNothing: (cause) => cause instanceof CommandError && cause.command === 'device_add',

  async undo(step, context) {
    const { vm, removals } = context;
    const { id } = step;
    await takeBackLeft(step, vm);
    const hasLeft = async () => {
      if ((await presenceOf(vm, id)) !== 'absent') return false;
      removals.forget([id]);
      return true;
    };
    if (await hasLeft()) return whatIsHeld(step, context);
    await refuseStranger(step, vm);
    if (removals.dueMs(id) === 0) {
      const request = await removals.ask(id);
      if (request.kind === 'busy') return { waiting: `${id}: ${request.why}` };
    }
    if (await hasLeft()) return whatIsHeld(step, context);
    return { waiting: `${id}: the guest has not released it yet` };
  },

  /** A device with our id in another place is nobody's for certain. */
  async probe(step, { vm }) {
    const presence = await presenceOf(vm, step.id);
    if (presence !== 'present') return presence;
    try {
      await refuseStranger(step, vm);
      return 'present';
    } catch {
      return 'unreadable';
    }
  },

  wait: (step, context, signal) =>
    watchRemoval({
      context,
      signal,
      ids: [step.id],
      atMostMs: Math.max(LOOK_AGAIN_MS, context.removals.dueMs(step.id)),
      isOver: async () =>
        (await presenceOf(context.vm, step.id)) === 'absent' &&
        (await whatIsHeld(step, context)) === undefined,
    }),
};

/**
 * QEMU unlinks a device before it closes the host's: until then its driver cannot be brought back. Of a node of its
 * own that can be told; a group's may be open for another device.
 */
async function whatIsHeld(
  { id, host: device, properties }: AddDevice,
  { vm, host }: StepContext,
): Promise<Waiting | undefined> {
  if (device === undefined || properties.iommufd === undefined) return undefined;
  if (vm.identity.kind !== 'process' || (await vm.isGone())) return undefined;
  const name = await readCdev(host, device);
  if (name === undefined) return undefined;
  const held = await isHeldBy(host, vm.identity.pid, cdevNode(name));
  if (held.known && !held.value) return undefined;
  return { waiting: `${id}: QEMU has not closed ${cdevNode(name)} yet` };
}

/** Under which name QEMU is handed the host's device node; undefined where it opens it itself. */
function fdOf({ properties: { fd } }: AddDevice): string | undefined {
  return typeof fd === 'string' ? fd : undefined;
}

/** First of all, and its answer is waited for: the descriptor is taken up by the very next command that names it. */
async function handOver(step: AddDevice, session: QmpSession, host: HostEffects): Promise<void> {
  const name = fdOf(step);
  if (name === undefined) return;
  const node = await requireCdevNode(host, step.host ?? '');
  await passNode({ host, session }, { node, name });
}

/** Where QEMU refused before it looked at the descriptor it still has it open, and the device could not go back. */
async function takeBackUnused(step: AddDevice, session: QmpSession, cause: unknown): Promise<void> {
  const name = fdOf(step);
  if (name !== undefined && cause instanceof CommandError) await takeBack(session, name);
}

async function takeBackLeft(step: AddDevice, vm: VmLink): Promise<void> {
  const name = fdOf(step);
  if (name === undefined || (await vm.isGone())) return;
  await takeBack(await vm.session(), name);
}

function commandOf({ driver, id, bus, addr, devfn, properties }: AddDevice): DeviceAddArguments {
  if (devfn !== undefined) return { driver, id, bus, addr, ...properties };
  // There is one bus for crypto queues, and its device takes neither bus nor address.
  if (addr === '') return { driver, id, ...properties };
  return { driver, id, bus, devno: addr, ...properties };
}

/** The command with what no plan holds. */
function withSecrets(step: AddDevice, { secrets }: StepContext): DeviceAddArguments {
  const command = commandOf(step);
  if (step.withVfToken !== true) return command;
  const token = secrets.get(step.id);
  if (token !== undefined) return { ...command, 'vf-token': token };
  throw new StepError('STEP_FAILED', `${step.id}: its token was with the process that began this`, {
    remedy: 'attach it again, with --vf-token',
    details: { id: step.id },
  });
}

/** Where QEMU says that the device is on its bus; undefined where the bus has one place. */
async function readPlace(
  session: QmpSession,
  { id, addr, devfn }: AddDevice,
): Promise<number | string | undefined> {
  const path = `/machine/peripheral/${id}`;
  if (devfn !== undefined) return qomGetDevfn(session, path);
  return addr === '' ? undefined : qomGetString(session, path, 'dev_id');
}

/** What `readPlace` must read. */
function placeOf({ addr, devfn }: AddDevice): number | string | undefined {
  return devfn ?? (addr === '' ? undefined : addr);
}

/** A place in words. */
function describePlace(bus: string | undefined, place: number | string | undefined): string {
  if (place === undefined) return `${bus}`;
  return `${bus} at ${typeof place === 'number' ? 'devfn ' : ''}${place}`;
}

function foundNothing(result: PromiseSettledResult<unknown>): boolean {
  const reason: unknown = result.status === 'rejected' ? result.reason : undefined;
  return reason instanceof CommandError && reason.failure.kind === 'path-not-found';
}

/** A guest in the middle of its boot can give a device back before QEMU has answered the next command. */
function leftAtOnce(id: string): StepError {
  return new StepError('GIVEN_BACK', `${id} has left already`, { details: { ids: [id] } });
}

function valueOf<T>(result: PromiseSettledResult<T>): T | undefined {
  return result.status === 'fulfilled' ? result.value : undefined;
}

function verifyPlacement(
  step: AddDevice,
  entries: readonly { readonly name: string }[] | undefined,
  parentBus: string | undefined,
  actual: number | string | undefined,
): void {
  const { id, busPath, devfn, port } = step;
  const expected = placeOf(step);
  const listed = entries?.some((entry) => entry.name === id) ?? false;
  if (listed && parentBus === busPath && actual === expected) return;
  const found = listed ? `on ${describePlace(parentBus, actual)}` : 'not in the device tree';
  throw new StepError(
    'STEP_FAILED',
    `${id}: QEMU took it, but it is ${found} instead of on ${port} (${describePlace(busPath, expected)})`,
    { details: { id, port, expected: { busPath, devfn: devfn ?? null }, listed } },
  );
}

/** Longer than a firmware needs from one register of a window to the next. */
const SAME_FOR_MS = 250;
const MOST_LOOKS = 20;

/**
 * Believes a misfit that stays: firmware that boots opens the windows one register after the other, and an undo
 * needs a guest to release the device.
 *
 * @throws {NoFitError} `NO_WINDOW` where the functions of its slot turned out larger than their port.
 */
async function refuseMisfit(
  step: AddDevice,
  { vm, clock }: StepContext,
  first: readonly PciBusInfo[],
): Promise<void> {
  const { id, bus, port } = step;
  let pci = first;
  let before: string | undefined;
  for (let looks = 1; looks <= MOST_LOOKS; looks += 1) {
    const fit = liveFit(pci, bus, slotMates(step, pci));
    if (fit?.kind !== 'does-not-fit') return;
    if (fit.arithmetic === before || looks === MOST_LOOKS) {
      throw new NoFitError('NO_WINDOW', `${id} does not fit ${port}: ${fit.arithmetic}`, {
        remedy: 'boot the VM with larger windows: qmplug boot-args --window SIZE',
        details: { id, port },
      });
    }
    before = fit.arithmetic;
    await new Promise<void>((resolve) => clock.after(SAME_FOR_MS, resolve));
    pci = await queryPci(await vm.session());
  }

  /** The functions that share the step's slot, its own among them, as far as QEMU shows them. */
  function slotMates(
    { id, bus, devfn = 0 }: AddDevice,
    pci: readonly PciBusInfo[],
  ): readonly string[] {
    const onBus = findById(pci, bus)?.bridge?.devices ?? [];
    const mates = onBus.flatMap(({ slot, qdevId }) =>
      slot === devfn >> 3 && qdevId !== undefined && qdevId !== id ? [qdevId] : [],
    );
    return [id, ...mates];
  }
}

/**
 * A device with our id in another place: another client's that took the id while nobody looked, or ours
 * that QEMU put where it was not told to. Nobody can tell, so it stays.
 */
async function refuseStranger(step: AddDevice, vm: VmLink): Promise<void> {
  const { id, busPath, devfn, port } = step;
  const session = await vm.session();
  const [parentBus, actual] = await Promise.all([
    qomGetString(session, `/machine/peripheral/${id}`, 'parent_bus'),
    readPlace(session, step),
  ]);
  const expected = placeOf(step);
  if (parentBus === busPath && actual === expected) return;
  throw new StepError(
    'STEP_FAILED',
    `${id} is on ${describePlace(parentBus, actual)}, not on ${port} (${describePlace(busPath, expected)}), where it was meant to go`,
    {
      remedy: `find out who added it; if nobody needs it: qmplug detach ${vm.address} ${id}`,
      details: { id, port, expected: { busPath, devfn: devfn ?? null } },
    },
  );
}
