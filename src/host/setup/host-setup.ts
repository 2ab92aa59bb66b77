import { HostNotReadyError, InputError, RefusedError } from '../../errors.js';
import { known, unknown, type Known } from '../../known.js';
import { reportSteps, type StepReport } from '../../engine/index.js';
import type { DesiredState } from './desired-state.js';
import type { SetupFacts } from './facts.js';
import { fingerprint, type FileState } from './file-state.js';
import { foldLedger, type Ledger } from './ledger.js';
import { planRollback, type RefusedItem } from './plan-rollback.js';
import { draftSetup, planSetup } from './plan-setup.js';
import type { SetupItem, SetupPlan } from './plan-types.js';
import { readFacts, readMachineId } from './read-facts.js';
import { recipeWords } from './wants/index.js';
import { SetupRunner, type SetupEnvironment } from './setup-runner.js';
import type { Adopt } from './steps.js';

export interface ApplyResult {
  /** What was decided on, before. */
  readonly plan: SetupPlan;
  readonly steps: readonly StepReport[];
  /** Where everything stands afterwards. */
  readonly items: readonly SetupItem[];
  readonly needsReboot: boolean;
}

export interface RollbackResult {
  readonly restored: readonly string[];
  readonly refused: readonly RefusedItem[];
  readonly steps: readonly StepReport[];
}

/** Tells what the desired state calls for on this host. Writes nothing and needs no root. */
export async function planHost(
  environment: SetupEnvironment,
  desired: DesiredState,
): Promise<SetupPlan> {
  const { plan } = await look(environment, desired);
  return plan;
}

/**
 * Makes the host as desired, as far as it can be had; whatever is refused is left as it is and told.
 *
 * @param options.reviewed hash of a plan: anything else than exactly that is refused.
 * @throws {RefusedError} `PLAN_CHANGED`; whatever keeps a step from being done.
 */
export async function applyHost(
  environment: SetupEnvironment,
  desired: DesiredState,
  { reviewed }: { readonly reviewed?: string | undefined } = {},
): Promise<ApplyResult> {
  const runner = await runnerOf(environment);
  return runner.exclusively(async () => {
    await runner.settle();
    const { plan } = await look(environment, desired);
    if (reviewed !== undefined && reviewed !== plan.hash) throw planChanged(reviewed, plan.hash);
    if (plan.steps.length === 0)
      return { plan, steps: [], items: plan.items, needsReboot: plan.needsReboot };
    const { progress } = await runner.run('apply', plan.steps, plan.hash);
    const after = await look(environment, desired);
    return {
      plan,
      steps: reportSteps(progress),
      items: after.plan.items,
      needsReboot: after.plan.needsReboot,
    };
  });
}

/**
 * Puts back what we changed, byte for byte, and nothing else.
 *
 * @param options.force ids of items to put back although somebody else has changed them since.
 */
export async function rollbackHost(
  environment: SetupEnvironment,
  { force = [] }: { readonly force?: readonly string[] } = {},
): Promise<RollbackResult> {
  const runner = await runnerOf(environment);
  return runner.exclusively(async () => {
    await runner.settle();
    const ledger = await runner.ledger();
    const known = idsOf(ledger);
    const stray = force.find((id) => !known.includes(id));
    if (stray !== undefined) throw noSuchItem(stray, known);
    const facts = await readFacts(environment, {});
    const rollback = planRollback(ledger, {
      facts,
      states: await readStates(environment, [...ledger.files.keys()]),
      attributes: facts.hugepages,
      force: new Set(force),
    });
    const { steps, items: restored, refused } = rollback;
    const result = steps.length === 0 ? undefined : await runner.run('rollback', steps, '');
    await runner.tidy();
    return { restored, refused, steps: result === undefined ? [] : reportSteps(result.progress) };
  });
}

/** Takes an item that is there already into our ownership, so that a rollback or another state removes it. */
export async function adoptItem(
  environment: SetupEnvironment,
  desired: DesiredState,
  subject: string,
): Promise<SetupItem> {
  const runner = await runnerOf(environment);
  return runner.exclusively(async () => {
    await runner.settle();
    const { plan, facts } = await look(environment, desired);
    const item = [...plan.items, ...artefactItems(facts)].find(
      (each) => each.subject === subject || each.id === subject,
    );
    if (item === undefined)
      throw noSuchItem(
        subject,
        plan.items.map((each) => each.subject),
      );
    const what = item.subject.startsWith('/')
      ? await adoptedFile(environment, item)
      : adoptedArgument(facts, item);
    const step: Adopt = { kind: 'Adopt', action: item.subject, what };
    await runner.run('adopt', [step], plan.hash);
    return { ...item, state: 'ok' };
  });
}

/** What earlier recipes left is no item of a plan, and can be taken over all the same. */
function artefactItems({ leftovers, kernelArguments }: SetupFacts): readonly SetupItem[] {
  const { configured } = kernelArguments;
  const words = configured.known ? recipeWords(configured.value.words) : [];
  const subjects = [...leftovers.files, ...words.map(({ text }) => text)];
  return subjects.map((subject) => ({ id: 'artefact', subject, state: 'foreign-ok' }));
}

async function adoptedFile(
  environment: SetupEnvironment,
  { subject: path, state }: SetupItem,
): Promise<Adopt['what']> {
  const now = await environment.host.readFile(path);
  if (now.kind === 'absent' || !['foreign-ok', 'conflicting'].includes(state)) {
    throw new HostNotReadyError('NO_MATCH', `${path} is ${state}: there is nothing to take over`, {
      remedy: 'see what can be: qmplug host plan',
    });
  }
  return { kind: 'file', path, expect: fingerprint(now) };
}

function adoptedArgument({ kernelArguments }: SetupFacts, item: SetupItem): Adopt['what'] {
  const { backend, configured } = kernelArguments;
  const isThere =
    configured.known && configured.value.words.some(({ text }) => text === item.subject);
  if (backend.kind !== 'command' || !isThere || item.state === 'ok') {
    throw new HostNotReadyError(
      'NO_MATCH',
      `${item.subject} cannot be taken over (${item.state})`,
      {
        remedy: 'it stands in a file that somebody else keeps: remove it there, then apply',
      },
    );
  }
  return { kind: 'argument', backend: backend.name, text: item.subject };
}

interface Look {
  readonly plan: SetupPlan;
  readonly facts: SetupFacts;
}

async function look(environment: SetupEnvironment, desired: DesiredState): Promise<Look> {
  const facts = await readFacts(environment, desired);
  const runner = new SetupRunner(environment, {
    machineId: facts.machineId,
    root: environment.host.root,
  });
  const journal = await readJournal(runner);
  const draft = draftSetup(desired, facts, journal.ledger);
  const plan = planSetup(draft, await readStates(environment, draft.paths));
  const text = journal.note;
  if (text === undefined) return { plan, facts };
  return { plan: { ...plan, notes: [...plan.notes, { item: 'journal', text }] }, facts };
}

/** Everyone may look; whose the items are is told to those who may read the journal. */
async function readJournal(
  runner: SetupRunner,
): Promise<{ readonly ledger: Ledger; readonly note?: string }> {
  try {
    const ledger = await runner.ledger();
    if ((await runner.open()).length === 0) return { ledger };
    return { ledger, note: 'an earlier command was interrupted; apply and rollback end it first' };
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code !== 'DENIED') throw error;
    return {
      ledger: foldLedger([]),
      note: 'without root the journal cannot be read: what is ours looks foreign',
    };
  }
}

async function runnerOf(environment: SetupEnvironment): Promise<SetupRunner> {
  const machineId = await readMachineId(environment.host);
  return new SetupRunner(environment, { machineId, root: environment.host.root });
}

async function readStates(
  { host }: SetupEnvironment,
  paths: readonly string[],
): Promise<ReadonlyMap<string, Known<FileState>>> {
  const entries = paths.map(async (path): Promise<readonly [string, Known<FileState>]> => {
    try {
      return [path, known(await host.readFile(path))];
    } catch (error) {
      return [path, unknown(error instanceof Error ? error.message : String(error))];
    }
  });
  return new Map(await Promise.all(entries));
}

function idsOf(ledger: Ledger): readonly string[] {
  return [
    ...ledger.files.keys(),
    ...ledger.arguments.map(({ change }) => change.text),
    ...ledger.pairs.keys(),
    ...ledger.attributes.keys(),
  ];
}

function planChanged(reviewed: string, now: string): RefusedError {
  return new RefusedError(
    'PLAN_CHANGED',
    'the host or the desired state is not what the plan was made on',
    {
      remedy: 'look at the plan again: qmplug host plan',
      details: { reviewed, now },
    },
  );
}

function noSuchItem(id: string, known: readonly string[]): InputError {
  return new InputError('BAD_ARGUMENT', `there is no item ${JSON.stringify(id)}`, {
    remedy: known.length === 0 ? 'nothing here is ours' : `name one of: ${known.join(', ')}`,
    details: { item: id },
  });
}
