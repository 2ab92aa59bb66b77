import {
  deviceOf,
  guestAddressOf,
  type AddDevice,
  type AttachPreview,
  type DetachResult,
  type HotplugPlan,
  type VmSnapshot,
} from '../index.js';
import type { AttachDocument, StepLine } from './render-attach.js';

/** The steps of a plan, in the order in which they would be run. */
function plannedSteps({ steps }: HotplugPlan): readonly StepLine[] {
  return steps.map(({ kind }) => ({ kind, outcome: 'planned', ms: 0 }));
}

/** What `attach` would print, as far as it can be told before. */
export function plannedAttach(
  { plan, route }: Extract<AttachPreview, { kind: 'plan' }>,
  vm: VmSnapshot,
): AttachDocument {
  const group = plan.steps.find((step) => step.kind === 'ReserveGroup')?.group;
  const functions = plan.steps
    .filter((step) => step.kind === 'AddDevice')
    .map((step) => ({
      id: step.id,
      host: step.host,
      port: step.port,
      addr: step.addr,
      guestPath: guestPathOf(step, vm),
      guestBdf: undefined,
      bars: [],
    }));
  const through = route === undefined ? {} : { route };
  return {
    attachment: { group, already: false, ...through, functions },
    steps: plannedSteps(plan),
  };
}

/** What was added in between cannot be in the way: the place is free. */
function guestPathOf(step: AddDevice, vm: VmSnapshot): string | undefined {
  return guestAddressOf(vm, deviceOf(step)).text;
}

/** A removal as `detach` prints it; `planned` says that nobody was asked for it. */
export interface RemovalLine {
  readonly id: string;
  readonly state: DetachResult['removals'][number]['state'] | 'planned';
  readonly ms: number;
}

export interface DetachDocument {
  readonly removals: readonly RemovalLine[];
  readonly steps: readonly StepLine[];
}

/** What `detach` would print, as far as it can be told before; whatever shares a slot goes along. */
export function plannedDetach(plan: HotplugPlan): DetachDocument {
  const ids = plan.steps.flatMap((step) => (step.kind === 'AwaitRemoval' ? step.ids : []));
  return {
    removals: [...new Set(ids)].map((id) => ({ id, state: 'planned', ms: 0 })),
    steps: plannedSteps(plan),
  };
}
