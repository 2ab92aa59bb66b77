import {
  ConnectError,
  HostError,
  InputError,
  PendingError,
  QmplugError,
  RefusedError,
  StepError,
  UnplugRefusedError,
  type AttachResult,
  type DetachResult,
  type RecoveryResult,
  type VmStatus,
} from '../../../src/index.js';
import type { TaskOutcome, VirtualMachine, World } from '../../../src/simulator/index.js';
import type { Command } from './schedule.js';
import { idsIn, idsOf, type Stage } from './stage.js';
import { isKeyOf, type Watch } from './watch.js';

/** What is known about a command besides its answer. */
export interface Circumstances {
  /** The VM that the command spoke to. */
  readonly vm: VirtualMachine;
  /** Nobody else did anything from before its begin until now. */
  readonly alone: boolean;
  /** Nothing has gone wrong in the whole schedule. */
  readonly calm: boolean;
  /** Devices may leave the VM although nobody asked. */
  readonly leavesByItself: boolean;
  /** Ids that were in the VM when it began. */
  readonly before: ReadonlySet<string>;
  /** Reservations at that time. */
  readonly reservedBefore: ReadonlySet<string>;
}

/** Holds an answer to the world, at the very moment when it is given. */
export async function checkAnswer(
  stage: Stage,
  watch: Watch,
  command: Command,
  outcome: TaskOutcome<unknown>,
  circumstances: Circumstances,
): Promise<void> {
  if (outcome.kind === 'killed') return;
  if (outcome.kind === 'failed') {
    checkFailure(stage, watch, command, outcome.error, circumstances);
    return;
  }
  switch (command.kind) {
    case 'attach':
      checkAttached(stage, watch, outcome.value as AttachResult, circumstances);
      return;
    case 'detach':
      checkDetached(stage, watch, outcome.value as DetachResult, circumstances);
      return;
    case 'status':
      checkStatus(watch, outcome.value as VmStatus, circumstances);
      return;
    case 'recover':
      await checkRecovered(watch, outcome.value as RecoveryResult, circumstances);
      return;
    case 'recover-host':
      return;
  }
}

function checkAttached(
  { world }: Stage,
  watch: Watch,
  { attachment }: AttachResult,
  { vm, leavesByItself, alone }: Circumstances,
): void {
  if (leavesByItself || !vm.alive || !alone) return;
  const lie = (seen: string) => {
    watch.report('true-answer', `attached, but ${seen}`);
  };
  if (attachment.functions.length === 0) lie('nothing is named');
  for (const { id, host, port } of attachment.functions) {
    const device = vm.machine.find(id);
    if (device === undefined) lie(`${id} is not in ${vm.label}`);
    else if (device.bus.bridge?.id !== port) lie(`${id} is on ${device.bus.path}, not ${port}`);
    if (host === undefined) continue;
    const fn = world.kernel.functions.find(({ bdf }) => bdf === host);
    if (fn?.driver !== 'vfio-pci') lie(`${host} is bound to ${fn?.driver ?? 'nothing'}`);
    if (fn?.openedBy !== vm.process.pid) lie(`${host} is not open in ${vm.label}`);
  }
}

function checkDetached(
  { world }: Stage,
  watch: Watch,
  { removals, pending }: DetachResult,
  { vm, alone }: Circumstances,
): void {
  const inside = vm.alive ? idsIn(vm) : new Set<string>();
  for (const { id, state } of removals) {
    const over = state === 'released' || state === 'unplugged';
    if (over && alone && inside.has(id))
      watch.report('true-answer', `${id} is ${state}, and in ${vm.label}`);
    if (over || pending !== undefined) continue;
    watch.report('true-answer', `${id} is ${state} with nothing pending`);
  }
  if (!alone || pending !== undefined) return;
  for (const { id, state } of removals) {
    if (state !== 'released') continue;
    const [, group] = /^vfio_device_(\d+)_/.exec(id) ?? [];
    for (const { bdf, config, driver } of world.kernel.functions) {
      if (String(config.group) !== group || driver === config.nativeDriver) continue;
      watch.report('true-answer', `${id} is released, and ${bdf} is on ${driver ?? 'no driver'}`);
    }
  }
}

function checkStatus(watch: Watch, status: VmStatus, circumstances: Circumstances): void {
  const { vm, alone, leavesByItself } = circumstances;
  if (!alone || leavesByItself || !vm.alive || status.removals.length > 0) return;
  const told = status.ports.flatMap(({ id, occupants }) =>
    occupants.map((each) => `${id} ${each}`),
  );
  const real = vm.machine.devices
    .filter((device) => device.hotplugged)
    .map((device) => `${device.bus.bridge?.id} ${device.id}`);
  if (told.sort().join() === real.sort().join()) return;
  watch.report('true-answer', `status tells of ${told.join()}; there are ${real.join()}`);
}

async function checkRecovered(
  watch: Watch,
  { open }: RecoveryResult,
  { vm, alone }: Circumstances,
): Promise<void> {
  if (!alone || !vm.alive) return;
  for (const {
    progress,
    progress: { plan },
  } of await watch.entries()) {
    const isAttachment = plan.kind === 'attach' && progress.ended === 'done';
    if (isAttachment || !isKeyOf(plan.scope, vm)) continue;
    if (open.some(({ planId }) => planId === plan.id)) continue;
    watch.report('true-answer', `recover does not tell of the open ${plan.kind} ${plan.id}`);
  }
}

function checkFailure(
  { world }: Stage,
  watch: Watch,
  command: Command,
  error: unknown,
  circumstances: Circumstances,
): void {
  const { vm, alone, calm, leavesByItself, before, reservedBefore } = circumstances;
  if (!(error instanceof QmplugError)) {
    watch.report(
      'errors-are-ours',
      `${command.kind}: ${String(error instanceof Error ? error.stack : error)}`,
    );
    return;
  }
  const told = `${command.kind} ${command.target}: ${error.code}: ${error.message}`;
  const takenBack = error.code === 'GIVEN_BACK' && (!alone || leavesByItself);
  if (calm && !takenBack && !isRefusal(error)) watch.report('works-undisturbed', told);
  const keptOut = error.code === 'LOCK_TIMEOUT' && command.timeoutMs >= LONGEST_HOLD_MS;
  if (calm && keptOut) watch.report('nobody-kept-out', told);
  // Refused means that nothing was changed; undone, that everything is as it was.
  const nothingDone =
    error instanceof RefusedError ||
    (error.code === 'STEP_FAILED' && error.constructor === StepError);
  if (command.kind !== 'attach' || !nothingDone || !alone || !vm.alive) return;
  for (const id of idsOf(command.target)) {
    if (!before.has(id) && idsIn(vm).has(id)) {
      watch.report('true-answer', `${told}; and ${id} is in ${vm.label}`);
    }
  }
  for (const name of reservationsIn(world)) {
    if (!reservedBefore.has(name)) watch.report('true-answer', `${told}; and ${name} is there`);
  }
}

/** Names of the reservations in force. */
export function reservationsIn(world: World): ReadonlySet<string> {
  const names = world.store.contents.map(([name]) => name);
  return new Set(names.filter((name) => name.startsWith('reservations/')));
}

/** Two VFIO devices opened one after the other, with the reads around them. */
const LONGEST_HOLD_MS = 4_000;

function isRefusal(error: QmplugError): boolean {
  const kinds = [
    RefusedError,
    InputError,
    HostError,
    ConnectError,
    PendingError,
    UnplugRefusedError,
  ];
  return kinds.some((kind) => error instanceof kind) || error.code === 'ABORTED';
}
