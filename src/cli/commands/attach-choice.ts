import {
  InputError,
  parseRequest,
  type QmplugError,
  type AttachBatchRequest,
  type AttachWarning,
  type BatchEntry,
  type DriverWish,
  type RouteWish,
  type Vm,
} from '../../index.js';
import { choiceOf, type PolicyOptions } from '../choose-devices.js';
import type { CommandContext } from '../command-context.js';
import { describeError } from '../describe-error.js';
import { plannedAttach } from '../dry-run.js';
import { EXIT, exitStatusOf } from '../exit-status.js';
import { readRules } from '../policy-rules.js';
import { renderAttach, type AttachDocument } from '../render-attach.js';
import { toJson } from '../to-json.js';
import { withVm, type VmOptions } from '../vm-options.js';

/** What `attach` is told of devices that a policy chooses. */
export interface AttachChoiceOptions extends VmOptions, PolicyOptions {
  readonly members?: 'device' | 'slot' | 'group';
  readonly wait?: 'placed';
  readonly allow?: readonly string[];
  readonly reservedFor?: string;
  readonly driver?: DriverWish;
  readonly vfToken?: string;
  readonly route?: RouteWish;
  readonly partial?: true;
  readonly dryRun?: true;
}

/** One line of the answer. */
interface Line {
  readonly devices: readonly string[];
  readonly document?: AttachDocument;
  readonly error?: QmplugError;
  readonly warnings: readonly AttachWarning[];
  readonly pending?: string | undefined;
}

/** Gives a VM what a policy chooses, an attachment for each slot or group. */
export async function attachChoice(
  context: CommandContext,
  address: string,
  device: string,
  options: AttachChoiceOptions,
): Promise<number> {
  const { members, wait, allow, reservedFor, partial, driver, vfToken, route } = options;
  const choice = choiceOf(options);
  const { policy } = parseRequest(device, { ...choice, allow });
  const { rules } = await readRules(context, options, reservedFor);
  const taking = { members, wait, allow, reservedFor, rules, driver, vfToken, route };
  const request = { device, choice, partial, ...taking };
  const lines = await withVm(address, options, context, (vm, waiting) =>
    options.dryRun
      ? preview(vm, request)
      : vm.attachBatch(request, waiting).then((entries) => entries.map(batchLine)),
  );
  const { output } = context;
  output.result(toJson(batchDocument(lines, policy.kind === 'one')), () =>
    lines.map(render).join('\n'),
  );
  for (const { message } of lines.flatMap(({ warnings }) => warnings)) output.note(message);
  for (const { pending } of lines) {
    if (pending !== undefined) output.note(`still pending: ${pending}; the device stays attached`);
  }
  return batchStatus(lines);
}

async function preview(vm: Vm, request: AttachBatchRequest): Promise<readonly Line[]> {
  const snapshot = await vm.snapshot();
  return (await vm.planAttachBatch(request)).map(({ devices, preview: planned }) =>
    planned.kind === 'already'
      ? batchLine({ kind: 'attached', devices, result: planned.result })
      : { devices, document: plannedAttach(planned, snapshot), warnings: [] },
  );
}

export function batchLine(entry: BatchEntry): Line {
  if (entry.kind === 'failed') return { devices: entry.devices, error: entry.error, warnings: [] };
  const { attachment, steps, warnings, pending } = entry.result;
  const told = warnings.length === 0 ? {} : { warnings };
  return { devices: entry.devices, document: { attachment, steps, ...told }, warnings, pending };
}

/** As JSON: one attachment for the policy `one`, a list of them for any other. */
export function batchDocument(lines: readonly Line[], single: boolean): object {
  const [first] = lines;
  if (single && first?.document !== undefined) return first.document;
  return {
    attachments: lines.map(({ devices, document, error }) =>
      error === undefined ? { devices, ...document } : { devices, error: describeError(error) },
    ),
  };
}

function render({ devices, document, error }: Line): string {
  if (document !== undefined) return renderAttach(document);
  return `not attached: ${devices.join(', ')}: ${error?.message ?? ''}`;
}

/** The exit status. What was attached beside a refusal is a change, so that is no refusal of the whole. */
export function batchStatus(lines: readonly Line[]): number {
  const statuses = lines.map(({ error, pending }) =>
    error === undefined ? (pending === undefined ? EXIT.done : EXIT.pending) : exitStatusOf(error),
  );
  const worst = Math.max(...statuses);
  const isRefusal = worst === EXIT.usage || worst === EXIT.refused;
  return isRefusal && lines.some(({ error }) => error === undefined) ? EXIT.failed : worst;
}

/** Whether anything is said of how to choose, beyond the one device that is named. */
export function isChoice(options: AttachChoiceOptions, device: string | undefined): boolean {
  const { policy, order, same, distinct, spread, pack, orElse, near, numa, pin } = options;
  const { follow, yesAll, partial } = options;
  const given = [policy, order, same, distinct, spread, pack, orElse, near, numa, pin];
  if ([...given, follow, yesAll, partial].some((each) => each !== undefined)) return true;
  return device !== undefined && parseRequest(device, {}).policy.kind !== 'one';
}

/** Options of `attach` that are for a device that is named. */
export function refuseWithChoice(options: {
  readonly port?: string;
  readonly device?: unknown;
  readonly id?: string;
  readonly zpciUid?: number;
  readonly zpciFid?: number;
}): void {
  const stray = {
    '--port': options.port,
    '--device': options.device,
    '--id': options.id,
    '--zpci-uid': options.zpciUid,
    '--zpci-fid': options.zpciFid,
  };
  const [flag] = Object.entries(stray).find(([, value]) => value !== undefined) ?? [];
  if (flag === undefined) return;
  throw new InputError('BAD_ARGUMENT', `${flag} is for one device, and not for a choice`, {
    remedy: 'name the device by its address, or leave the options of the choice out',
  });
}
