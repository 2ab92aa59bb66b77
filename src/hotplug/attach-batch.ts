import { Holds } from '../engine/holds.js';
import { newPlanId } from '../engine/plan-id.js';
import {
  PendingError,
  RollbackError,
  StepError,
  UnknownStateError,
} from '../engine/step-errors.js';
import { QmplugError } from '../errors.js';
import { parseRequest, resolveSelector } from '../host/selector/index.js';
import type { Logger } from '../logger.js';
import { attach, previewAttach } from './attach.js';
import { unitsOf, type Unit } from './batch-units.js';
import { detach } from './detach.js';
import type {
  AttachBatchRequest,
  AttachHostDevice,
  AttachResult,
  BatchEntry,
  BatchPreviewEntry,
  WaitOptions,
} from './requests.js';
import type { VmSession } from './vm-session.js';

/** What `attachBatch` would do now; nothing is changed. */
export async function previewBatch(
  session: VmSession,
  request: AttachBatchRequest,
): Promise<readonly BatchPreviewEntry[]> {
  const units = await chooseUnits(session, request);
  const ports = await planTogether(session, units, request);
  const entries: BatchPreviewEntry[] = [];
  for (const unit of units) {
    const asked = requestOf(unit, request, ports, request.reservedFor);
    entries.push({ devices: unit.names, preview: await previewAttach(session, asked) });
  }
  return entries;
}

/** Puts every device that is chosen into the VM: all or none, unless asked otherwise. */
export async function attachBatch(
  session: VmSession,
  request: AttachBatchRequest,
  options: WaitOptions,
  logger: Logger = session.environment.logger,
): Promise<readonly BatchEntry[]> {
  const { partial = false, reservedFor } = request;
  session.patience(options);
  const units = await chooseUnits(session, request, logger);
  const ports = partial ? new Map<string, string>() : await planTogether(session, units, request);
  const owner = reservedFor ?? `batch-${newPlanId()}`;
  const holds = reservedFor === undefined && !partial ? holdsOf(session) : undefined;
  // All of them are set aside before the first is touched: another VM could take the last one meanwhile.
  await holds?.take(await heldKeys(session, units), owner, undefined, 'with-process');
  try {
    const asked = units.map((unit) =>
      requestOf(unit, request, ports, holds === undefined ? reservedFor : owner),
    );
    return await attachEach(session, units, { asked, partial, options, logger });
  } finally {
    await holds?.release(owner);
  }
}

async function chooseUnits(
  session: VmSession,
  { device, choice = {}, allow, reservedFor, rules }: AttachBatchRequest,
  logger: Logger = session.environment.logger,
): Promise<readonly Unit[]> {
  const { effects, runtime, answers, clock } = session.environment;
  const { identity, key } = session.link;
  const { yesAll, nearNodes, ...asked } = choice;
  const vmPid = identity.kind === 'process' ? identity.pid : undefined;
  const resolution = await resolveSelector(
    { effects, runtime, answers, vmPid, vmNodes: nearNodes },
    parseRequest(device, { ...asked, allow }),
    { rules, yesAll, scope: key, owner: reservedFor, logger, clock },
  );
  return unitsOf(resolution);
}

/** What each attach of the batch is asked with, whatever it is for. */
function termsOf({ allow, rules, route, driver, vfToken }: AttachBatchRequest) {
  return { allow, rules, route, driver, vfToken };
}

function requestOf(
  { names }: Unit,
  request: AttachBatchRequest,
  ports: ReadonlyMap<string, string>,
  reservedFor: string | undefined,
): AttachHostDevice {
  const mine = new Set(names.flatMap((name) => ports.get(name) ?? []));
  const port = mine.size === 1 ? [...mine][0] : undefined;
  const { members, wait } = request;
  return { device: names, members, wait, reservedFor, port, ...termsOf(request) };
}

/**
 * Plans all that is not in the VM yet as one attachment, which is how it can be told before anything is changed
 * that all may go, and that there is a port for each.
 *
 * @returns the port of each function.
 */
async function planTogether(
  session: VmSession,
  units: readonly Unit[],
  asked: AttachBatchRequest,
): Promise<ReadonlyMap<string, string>> {
  const { members, reservedFor } = asked;
  const terms = { reservedFor, ...termsOf(asked) };
  const { hosts } = await session.namesInside();
  const coming = units.filter(({ names }) => !names.every((name) => hosts.has(name)));
  const together = coming.filter(({ kind }) => kind === 'pci').flatMap(({ names }) => names);
  const ports = new Map<string, string>();
  if (together.length > 0) {
    const preview = await previewAttach(session, { device: together, members, ...terms });
    const steps = preview.kind === 'plan' ? preview.plan.steps : [];
    for (const step of steps) {
      if (step.kind === 'AddDevice' && step.host !== undefined) ports.set(step.host, step.port);
    }
  }
  for (const { kind, names } of coming) {
    if (kind !== 'mdev') continue;
    await previewAttach(session, { device: names, ...terms });
  }
  return ports;
}

function holdsOf({ environment }: VmSession): Holds {
  const { runtime: store, liveness, clock } = environment;
  return new Holds({ store, liveness, clock });
}

/** What is in the VM already is reserved for it. */
async function heldKeys(session: VmSession, units: readonly Unit[]) {
  const { hosts } = await session.namesInside();
  const coming = units.filter(({ names }) => !names.every((name) => hosts.has(name)));
  return coming.flatMap(({ keys, names }) => keys.map((key) => ({ key, devices: names })));
}

async function attachEach(
  session: VmSession,
  units: readonly Unit[],
  {
    asked,
    partial,
    options,
    logger,
  }: {
    readonly asked: readonly AttachHostDevice[];
    readonly partial: boolean;
    readonly options: WaitOptions;
    readonly logger: Logger;
  },
): Promise<readonly BatchEntry[]> {
  const entries: BatchEntry[] = [];
  for (const [index, request] of asked.entries()) {
    const devices = units[index]?.names ?? [];
    try {
      const result = await attach(session, request, options, logger);
      entries.push({ kind: 'attached', devices, result });
    } catch (error) {
      if (!(error instanceof QmplugError)) throw error;
      if (!partial) {
        const later = units.slice(index + 1).map(({ names }) => names);
        throw await undoAll(session, { entries, devices, error, later }, options);
      }
      entries.push({ kind: 'failed', devices, error });
    }
  }
  return entries;
}

interface Failure {
  /** What went before. */
  readonly entries: readonly BatchEntry[];
  readonly devices: readonly string[];
  readonly error: QmplugError;
  readonly later: readonly (readonly string[])[];
}

/** Takes out what this batch put in, the last first, and makes the error that tells of it. */
async function undoAll(
  session: VmSession,
  { entries, devices, error, later }: Failure,
  { timeoutMs }: WaitOptions,
): Promise<QmplugError> {
  const told: { devices: readonly string[]; outcome: string }[] = [];
  const undoFailures: unknown[] = [];
  let undone = 0;
  for (const entry of [...entries].reverse()) {
    if (entry.kind === 'failed') continue;
    const outcome = await takeOut(session, entry.result, timeoutMs, undoFailures);
    if (outcome !== 'already') undone += 1;
    told.unshift({ devices: entry.devices, outcome });
  }
  // Nothing went before it, so it says all there is to say.
  if (undone === 0) return error;
  const detail = {
    cause: error,
    remedy: error.remedy,
    details: {
      code: error.code,
      devices: [
        ...told,
        { devices, outcome: 'failed' },
        ...later.map((names) => ({ devices: names, outcome: 'not-tried' })),
      ],
    },
  };
  const what = `${devices.join(', ')} could not be attached`;
  if (undoFailures.length > 0) {
    return new RollbackError(`${what}, and not all that went before it could be taken out again`, {
      ...detail,
      remedy: 'see what is left: qmplug recover VM',
      undoFailures,
    });
  }
  const message = `${what}; what went before it was taken out again`;
  if (error instanceof UnknownStateError || error instanceof RollbackError) {
    return new UnknownStateError('STATE_UNKNOWN', message, detail);
  }
  const isPending = told.some(({ outcome }) => outcome === 'pending');
  if (isPending || error instanceof PendingError) {
    return new PendingError('STILL_PENDING', `${what}; the guest has been asked for the others`, {
      ...detail,
      remedy: 'wait for it: qmplug recover VM',
    });
  }
  return new StepError('BATCH_FAILED', message, detail);
}

async function takeOut(
  session: VmSession,
  { attachment }: AttachResult,
  timeoutMs: number | undefined,
  failures: unknown[],
): Promise<'already' | 'undone' | 'pending' | 'failed'> {
  const id = attachment.functions[0]?.id;
  if (attachment.already || id === undefined) return 'already';
  try {
    const { pending } = await detach(session, id, { timeoutMs });
    return pending === undefined ? 'undone' : 'pending';
  } catch (error) {
    failures.push(error);
    return 'failed';
  }
}
