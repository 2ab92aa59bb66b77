import { Journal, Reservations, type Owner, type Reservation } from '../../engine/index.js';
import { RefusedError } from '../../errors.js';
import { isAlive, readBootId, readPidNamespace } from '../../host/process.js';
import { readDriver } from '../../host/pci-function.js';
import { isSameDriver } from '../../host/vfio-drivers.js';
import type { HotplugProgress } from '../../plan/attachment.js';
import { HOST_SCOPE } from '../../plan/steps.js';
import type { HostCheck, HostReads } from '../check.js';
import { fail, ok, seen, skip, warn, type Answer, type Evidence } from '../finding.js';

const RECOVER = 'qmplug recover; with the VM still running: qmplug recover VM';
/** `bootId-pid-startTime`, as `vmKeyOf` makes it. */
const VM_KEY = /^([0-9a-f-]+)-(\d+)-(\d+)$/;

export const journal: HostCheck = {
  id: 'daemon.journal',
  about: 'whether what qmplug did, as its journal has it, is still so',
  needs: 'host',
  async run(reads) {
    const { state } = reads;
    if (state === undefined) return skip('no journal was named');
    const place = seen(`${state.location}/plans`, 'read');
    const entries = await whole(() => new Journal(state).list());
    if ('answer' in entries) return entries.answer;
    const stale: Answer[] = [];
    for (const { progress, runner } of entries.value) {
      // What stands in the journal of attachments are plans of ours.
      const found = await judgePlan(reads, progress as HotplugProgress, runner);
      if (found?.verdict === 'fail') return found;
      if (found !== undefined) stale.push(found);
    }
    return stale[0] ?? ok(`${entries.value.length} records, in step`, place);
  },
};

async function judgePlan(
  reads: HostReads,
  progress: HotplugProgress,
  runner: Owner,
): Promise<Answer | undefined> {
  const { plan, ended } = progress;
  const read = seen(`plan ${plan.id}`, `${plan.kind} for ${plan.scope}`);
  if (ended === undefined) {
    const alive = await isAlive(reads.effects, runner);
    if (!alive.known || alive.value) return undefined;
    const waits = progress.steps.some(({ forward }) => forward === 'waiting');
    const why = waits ? 'waits for its guest' : `was left half done by process ${runner.pid}`;
    return warn(`${plan.kind} ${plan.id} ${why}`, RECOVER, read);
  }
  if (await isOver(reads, progress)) {
    return warn(`${plan.kind} ${plan.id} is of a VM or a boot that is over`, RECOVER, read);
  }
  return findLost(reads, progress, read);
}

async function isOver({ effects }: HostReads, { plan }: HotplugProgress): Promise<boolean> {
  const { subject } = plan;
  if (subject.kind === 'host') return subject.bootId !== (await readBootId(effects));
  if (subject.vm.kind !== 'process') return false;
  const alive = await isAlive(effects, subject.vm);
  return alive.known && !alive.value;
}

/** A function that the journal has on a VFIO driver, and that is not there or not on it. */
async function findLost(
  { effects }: HostReads,
  { plan, steps }: HotplugProgress,
  read: Evidence,
): Promise<Answer | undefined> {
  for (const [index, step] of plan.steps.entries()) {
    const at = steps[index];
    if (step.kind !== 'BindDriver' || at?.forward !== 'done' || at.backward === 'done') continue;
    const driver = await readDriver(effects, step.bdf);
    if (driver !== undefined && isSameDriver(driver, step.driver)) continue;
    return fail(
      `${step.bdf} was bound to ${step.driver}, and is on ${driver ?? 'no driver, or gone'}`,
      `see who moved it: dmesg | grep ${step.bdf}; then: qmplug recover`,
      read,
      seen(`/sys/bus/pci/devices/${step.bdf}/driver`, driver ?? 'none'),
    );
  }
  return undefined;
}

export const reservation: HostCheck = {
  id: 'daemon.reservation',
  about: 'whether every reservation belongs to a VM that runs, and each thing to one',
  needs: 'host',
  async run(reads) {
    const { runtime } = reads;
    if (runtime === undefined) return skip('no place for reservations was named');
    const found = await whole(() => new Reservations(runtime).list());
    if ('answer' in found) return found.answer;
    const all = found.value;
    const read = all.map(({ key, scope }) =>
      seen(`${runtime.location}/reservations`, `${key}: ${scope}`),
    );
    const twice = all.find(({ key }, index) => all.findIndex((each) => each.key === key) !== index);
    if (twice !== undefined) {
      return fail(`${twice.key} is reserved twice`, RECOVER, ...read);
    }
    for (const one of all) {
      if (await isExpired(reads, one)) {
        return warn(`${one.key} is reserved for a VM that has ended`, RECOVER, ...read);
      }
    }
    return ok(
      `${all.length} reservations`,
      ...(read.length > 0 ? read : [seen(`${runtime.location}/reservations`, 'none')]),
    );
  },
};

async function isExpired({ effects }: HostReads, { scope }: Reservation): Promise<boolean> {
  if (scope === HOST_SCOPE) return false;
  const [, bootId, pid, startTime] = VM_KEY.exec(scope) ?? [];
  if (bootId === undefined || pid === undefined || startTime === undefined) return false;
  const pidNamespace = await readPidNamespace(effects);
  const alive = await isAlive(effects, { bootId, pid: Number(pid), startTime, pidNamespace });
  return alive.known && !alive.value;
}

/** A record that cannot be understood is a failure of its own, and not one of reading. */
async function whole<T>(
  read: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly answer: Answer }> {
  try {
    return { value: await read() };
  } catch (error) {
    const isDamage = error instanceof Error && 'code' in error && error.code === 'STATE_DAMAGED';
    if (!isDamage) throw error;
    const remedy = error instanceof RefusedError ? error.remedy : undefined;
    return { answer: fail(error.message, remedy ?? RECOVER, seen('record', 'damaged')) };
  }
}
