import { reportSteps } from '../engine/index.js';
import { RefusedError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { AttachPlanning } from '../plan/plan-attach.js';
import type { ChosenRoute } from '../plan/route.js';
import type { AddDevice } from '../plan/steps.js';
import { queryPci, type PciBusInfo } from '../qmp/query-pci.js';
import type { VmSnapshot } from '../vm/types.js';
import { withAdded, type Look } from './last-look.js';
import { warningsOf } from './attach-warnings.js';
import { StepError } from '../engine/step-errors.js';
import { deviceIds } from './presence.js';
import { readAttachments, RecoveryReport, recoverEnded } from './reconcile.js';
import type {
  AttachPreview,
  AttachRequest,
  AttachResult,
  AttachWarning,
  RouteReport,
  WaitOptions,
} from './requests.js';
import { resolveRequest, type ResolvedRequest } from './resolve.js';
import type { Patience } from './runner.js';
import { errorOf, type HotplugResult } from './settle.js';
import { describeFunctions, findById, routeInVm } from './status.js';
import type { VmSession } from './vm-session.js';

/** The steps that `attach` would run now; nothing is changed. */
export async function previewAttach(
  session: VmSession,
  request: AttachRequest,
): Promise<AttachPreview> {
  const resolved = await resolve(session, request);
  const world = await session.world(resolved, await session.lastLook.renew());
  const planning = session.runner.planner.attach(resolved.request, world);
  if (planning.kind === 'plan') {
    await session.runner.check(planning.plan);
    return { ...planning, route: reportRoute(planning.route) };
  }
  return { kind: 'already', result: await already(session, planning.ids, world.vm) };
}

/** Puts a device into the VM; once more, where the guest gives it back before this ends. */
export async function attach(
  session: VmSession,
  request: AttachRequest,
  options: WaitOptions,
  logger: Logger = session.environment.logger,
): Promise<AttachResult> {
  const patience = session.patience(options);
  // What a VM that has ended still has on record stands in nobody's way.
  if ('device' in request) await recoverEnded(session.environment, new RecoveryReport());
  const first = await attempt(session, request, { patience, logger });
  if (first.kind === 'attached') return first.result;
  await makeWayAgain(session, first, patience);
  const second = await attempt(session, request, { patience, logger });
  if (second.kind === 'attached') {
    const { result } = second;
    const message = `the guest gave ${first.ids.join(', ')} back right after the attach; it was attached once more`;
    return { ...result, warnings: [{ code: 'given-back', message }, ...result.warnings] };
  }
  await makeWayAgain(session, second, patience);
  throw givenBack(second, `The guest gave ${second.ids.join(', ')} back twice`);
}

/** What was attached and had left by itself before the attach was over. */
interface GivenBack {
  readonly kind: 'given-back';
  /** It left before its step was done, so that the attach has taken back the rest as well. */
  readonly isUndone: boolean;
  readonly ids: readonly string[];
  readonly progress: HotplugResult['progress'];
}

type Attempt = { readonly kind: 'attached'; readonly result: AttachResult } | GivenBack;

async function attempt(
  session: VmSession,
  request: AttachRequest,
  { patience, logger }: { readonly patience: Patience; readonly logger: Logger },
): Promise<Attempt> {
  const { vm, first, route } = await session.exclusively(patience, async () => {
    const look = await session.reconcile(new RecoveryReport());
    return begin(session, await resolve(session, request, logger), look);
  });
  if (first.kind === 'already') {
    return { kind: 'attached', result: await already(session, first.ids, vm) };
  }
  const result = await session.runner.drive(first, patience);
  const { progress } = result;
  const leftEarly = result.kind === 'undone' ? whatLeftEarly(result.cause) : undefined;
  if (leftEarly !== undefined) {
    return { kind: 'given-back', ids: leftEarly, isUndone: true, progress };
  }
  const placing = result.kind === 'waiting' && progress.committed;
  if (result.kind !== 'done' && !placing) throw errorOf(result);
  const added = progress.plan.steps.filter((step) => step.kind === 'AddDevice');
  session.lastLook.add(added);
  const pci = await queryPci(await session.link.session());
  const gone = await whichLeft(session, added, pci);
  if (gone.length === added.length)
    return { kind: 'given-back', ids: gone, isUndone: false, progress };
  return {
    kind: 'attached',
    result: {
      attachment: {
        ...(await describe(session, {
          added,
          vm: await afterAdding(session, vm, added),
          pci,
          gone,
        })),
        ...(route === undefined ? {} : { route: reportRoute(route) }),
      },
      warnings: [...warningsOf(added, pci), ...partlyGone(gone)],
      steps: reportSteps(progress),
      pending: result.kind === 'waiting' ? result.reason : undefined,
    },
  };
}

type Already = Extract<AttachPlanning, { kind: 'already' }>;

/**
 * Plans an attach and runs it as far as it goes. A host device is planned on a full look; where a look that
 * was only confirmed leads to a refusal or a failure, a full one decides.
 */
async function begin(
  session: VmSession,
  resolved: ResolvedRequest,
  look: Look,
): Promise<{
  readonly vm: VmSnapshot;
  readonly first: HotplugResult | Already;
  readonly route?: ChosenRoute | undefined;
}> {
  const again = async () => begin(session, resolved, await session.lastLook.renew());
  const { vm, fresh } = look;
  if (resolved.host !== undefined && !fresh) return again();
  const world = await session.world(resolved, look);
  let planning: AttachPlanning;
  try {
    planning = session.runner.planner.attach(resolved.request, world);
  } catch (error) {
    if (fresh || !(error instanceof RefusedError)) throw error;
    return again();
  }
  if (planning.kind === 'already') return { vm, first: planning };
  const first = await session.runner.start(planning.plan, resolved.vfToken);
  const misled = first.kind === 'undone' && !fresh && whatLeftEarly(first.cause) === undefined;
  return misled ? again() : { vm, first, route: planning.route };
}

/** The ids of what the guest gave back while its place was verified. */
function whatLeftEarly(cause: unknown): readonly string[] | undefined {
  const isGivenBack = cause instanceof StepError && cause.code === 'GIVEN_BACK';
  return isGivenBack ? (cause.details.ids as readonly string[]) : undefined;
}

function reportRoute(route: ChosenRoute | undefined): RouteReport | undefined {
  return route && { kind: route.kind, why: route.why };
}

/** `query-pci` shows what is behind a numbered bus; of the rest the device tree tells. */
async function whichLeft(
  { link }: VmSession,
  added: readonly AddDevice[],
  pci: readonly PciBusInfo[],
): Promise<readonly string[]> {
  const hidden = added.map(({ id }) => id).filter((id) => findById(pci, id) === undefined);
  if (hidden.length === 0) return [];
  const present = await deviceIds(link);
  return hidden.filter((id) => !present.has(id));
}

function partlyGone(gone: readonly string[]): readonly AttachWarning[] {
  if (gone.length === 0) return [];
  const message = `the guest gave ${gone.join(', ')} back right after the attach`;
  return [{ code: 'given-back', message }];
}

/**
 * Gives the host back what the guest gave back, as the next command would.
 *
 * @throws {StepError} `GIVEN_BACK` when it was not the guest, or when QEMU has not let go of it in time.
 */
async function makeWayAgain(
  session: VmSession,
  left: GivenBack,
  patience: Patience,
): Promise<void> {
  if (left.isUndone) return;
  const report = new RecoveryReport();
  await session.exclusively(patience, () => session.reconcile(report));
  const { id } = left.progress.plan;
  for (const result of report.waiting) {
    const { subject } = result.progress.plan;
    if (subject.kind === 'detach' && subject.attachment === id) {
      await session.runner.drive(result, patience);
    }
  }
  if (!session.sawLeave(id)) {
    throw givenBack(left, `${left.ids.join(', ')} was taken out again by another command`);
  }
  if ((await session.runner.read(id)) !== undefined) {
    throw givenBack(left, `The guest gave ${left.ids.join(', ')} back, and QEMU still has it open`);
  }
}

function givenBack({ ids, progress }: GivenBack, message: string): StepError {
  return new StepError('GIVEN_BACK', message, {
    remedy: 'attach it again once the guest has booted and its hot-plug drivers are loaded',
    details: { ids },
    steps: reportSteps(progress).map((step) => ({ ...step, outcome: 'undone' as const })),
  });
}

function resolve(
  { environment, link }: VmSession,
  request: AttachRequest,
  logger: Logger = environment.logger,
): Promise<ResolvedRequest> {
  const { identity, key } = link;
  return resolveRequest(request, { ...environment, logger }, { identity, key });
}

async function already(
  session: VmSession,
  ids: readonly string[],
  vm: VmSnapshot,
): Promise<AttachResult> {
  const pci = await queryPci(await session.link.session());
  const attachment = await describe(session, { added: ids.map((id) => ({ id })), vm, pci });
  return {
    attachment: { ...attachment, already: true },
    warnings: [],
    steps: [],
    pending: undefined,
  };
}

async function describe(
  { runner }: VmSession,
  {
    added,
    vm,
    pci,
    gone = [],
  }: {
    readonly added: readonly { readonly id: string }[];
    readonly vm: VmSnapshot;
    readonly pci: readonly PciBusInfo[];
    readonly gone?: readonly string[];
  },
): Promise<AttachResult['attachment']> {
  const ids = added.map(({ id }) => id).filter((id) => !gone.includes(id));
  const attachments = await readAttachments(runner);
  const mine = attachments.find((each) => each.functions.some((fn) => ids.includes(fn.id)));
  const route = routeInVm(ids, vm);
  return {
    group: mine?.groups[0],
    already: false,
    ...(route === undefined ? {} : { route }),
    functions: describeFunctions(ids, { vm, pci }),
  };
}

/**
 * The VM with devices whose place was verified when they were added. What the guest of an s390x knows a
 * PCI device by has been made with it, so that VM is read again.
 */
async function afterAdding(
  { lastLook }: VmSession,
  vm: VmSnapshot,
  added: readonly AddDevice[],
): Promise<VmSnapshot> {
  return vm.channels === undefined ? withAdded(vm, added) : (await lastLook.renew()).vm;
}
