import { InputError, RefusedError } from '../errors.js';
import { snapshotHash } from '../vm/hash.js';
import type { VmSnapshot } from '../vm/types.js';
import { planZpci } from './plan-zpci.js';
import type { PlanRequest } from './request.js';
import type { ChosenRoute } from './route.js';
import type { AddDevice, AddZpci, AttachSubject, HotplugPlan, HotplugStep } from './steps.js';
import type { World } from './world.js';

/** A plan, or the finding that what was asked for is there already. */
export type AttachPlanning =
  | {
      readonly kind: 'plan';
      readonly plan: HotplugPlan;
      /** Undefined for an emulated device. */
      readonly route: ChosenRoute | undefined;
    }
  | { readonly kind: 'already'; readonly ids: readonly string[] };

/** The plan of an attach, whatever is attached: its steps, and what they come to when they are done. */
export function attachPlan(
  request: PlanRequest,
  { planId, vm, address }: World,
  steps: readonly HotplugStep[],
  subject: AttachSubject,
  route?: ChosenRoute,
): AttachPlanning {
  const ids = steps.flatMap((step) => (step.kind === 'AddDevice' ? [step.id] : []));
  return {
    kind: 'plan',
    route,
    plan: {
      id: planId,
      kind: 'attach',
      scope: vm.key,
      subject: { kind: 'attach', address, vm: vm.identity, request: subject },
      steps: request.awaitPlaced ? [...steps, { kind: 'AwaitGuest', ids }] : steps,
      // Placement is verified inside the last AddDevice: once that is done the device is in.
      commit: { step: steps.length - 1, at: 'done' },
      snapshotHash: snapshotHash(vm),
    },
  };
}

/** The partner of the one PCI device whose numbers are asked for. */
export function zpciFor(
  { zpci }: PlanRequest,
  vm: VmSnapshot,
  adds: readonly AddDevice[],
): readonly AddZpci[] {
  const [only, ...more] = adds;
  if (zpci === undefined || only === undefined) return [];
  if (more.length === 0 && only.devfn !== undefined) return planZpci(vm, only.id, zpci);
  throw new InputError('BAD_ARGUMENT', 'uid and fid are the numbers of one PCI device', {
    remedy: 'attach one function at a time, and leave them out for what is not on PCI',
  });
}

/** An id is taken by whatever has it in the VM. @throws {RefusedError} `ID_TAKEN` */
export function refuseTakenId(id: string, vm: VmSnapshot): void {
  const holder = vm.devices.find((device) => device.id === id);
  if (holder === undefined) return;
  throw new RefusedError(
    'ID_TAKEN',
    `The VM already has a device ${id}, a ${holder.type} that this request did not ask for`,
    {
      remedy: `choose another id, or take that one out first: qmplug detach VM ${id}`,
      details: { id, type: holder.type, path: holder.path },
    },
  );
}

/**
 * Gone from the VM is not over yet: its removal still has the host to give back, and would find the new one.
 *
 * @throws {RefusedError} `STILL_PENDING`
 */
export function refuseLeaving(ids: readonly string[], leaving: ReadonlySet<string>): void {
  const pending = ids.filter((id) => leaving.has(id));
  if (pending.length === 0) return;
  throw new RefusedError('STILL_PENDING', `${pending.join(', ')}: its removal is not over yet`, {
    remedy: `wait for it: qmplug detach VM ${pending[0]}`,
    details: { ids: pending },
  });
}
