import type { PlanProgress } from '../engine/index.js';
import type { VmSnapshot } from '../vm/types.js';
import type { EmulatedDevice } from './request.js';
import type {
  AddDevice,
  BindDriver,
  GrantAccess,
  HotplugStep,
  ReserveGroup,
  Subject,
} from './steps.js';

export type HotplugProgress = PlanProgress<HotplugStep, Subject>;

/** One function of an attachment. */
export interface AttachedFunction {
  readonly id: string;
  readonly host: string | undefined;
  readonly port: string;
  readonly busPath: string;
  /** Undefined for what is not on PCI. */
  readonly devfn: number | undefined;
  readonly addr: string;
}

/** What one request put into the VM, with all that is needed to take it out and undo it. */
export interface Attachment {
  /** The attach plan, by which it is found in the journal. */
  readonly planId: string;
  readonly scope: string;
  /** In the order they were added: function 0 of a slot comes last. */
  readonly functions: readonly AttachedFunction[];
  readonly groups: readonly number[];
  /** What was asked for, where it is an emulated device. */
  readonly device: EmulatedDevice | undefined;
  readonly bindings: readonly { readonly step: BindDriver; readonly record: unknown }[];
  /** The iommufd object that was asked for along with it; undefined for the group, and for somebody else's. */
  readonly iommufd?: string | undefined;
  /** Whether QEMU opened the devices' own nodes. */
  readonly viaCdev?: boolean | undefined;
  readonly grants: readonly { readonly step: GrantAccess; readonly record: unknown }[];
}

/** The attachment that a finished or committed attach plan left; undefined for any other plan. */
export function attachmentOf(progress: HotplugProgress): Attachment | undefined {
  const { plan, steps } = progress;
  if (plan.subject.kind !== 'attach' || !progress.committed) return undefined;
  const of = <K extends HotplugStep['kind']>(kind: K) =>
    plan.steps.flatMap((step, index) =>
      step.kind === kind
        ? [{ step: step as Extract<HotplugStep, { kind: K }>, record: steps[index]?.record }]
        : [],
    );
  return {
    planId: plan.id,
    scope: plan.scope,
    functions: of('AddDevice').map(({ step }) => functionOf(step)),
    device: plan.subject.request.device,
    groups: of('ReserveGroup').map(({ step }: { step: ReserveGroup }) => step.group),
    bindings: of('BindDriver'),
    grants: of('GrantAccess'),
    iommufd: of('AddIommufd')[0]?.step.id,
    viaCdev: of('AddDevice').some(({ step }) => step.properties.iommufd !== undefined),
  };
}

export function functionOf({ id, host, port, busPath, devfn, addr }: AddDevice): AttachedFunction {
  return { id, host, port, busPath, devfn, addr };
}

/** The ids of an attachment that are still in the VM's device tree. */
export function presentIds(attachment: Attachment, vm: VmSnapshot): readonly string[] {
  const present = new Set(vm.devices.map((device) => device.id));
  return attachment.functions.map((fn) => fn.id).filter((id) => present.has(id));
}
