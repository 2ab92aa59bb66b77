import type { Command } from 'commander';
import {
  explainSelector,
  parseSelector,
  planBinding,
  QmplugError,
  readCandidates,
  readHostSnapshot,
  readPciNames,
  rememberReads,
  resolveSelector,
  type Candidate,
  type CandidateSet,
  type DriverWish,
  type Explanation,
  type HostSnapshot,
  type PciNames,
  type PlannedBinding,
  type SelectionHost,
} from '../../index.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { describeCandidate } from '../device-json.js';
import { renderDevices, type DeviceLine } from '../device-lines.js';
import { EXIT } from '../exit-status.js';
import { explainCandidates, renderExplanation, type ExplainedCandidate } from '../explain-lines.js';
import { DRIVER_ABOUT, driverWish, holdOwner, once } from '../option-values.js';
import { findClaims, findObstacles, wrongDriver, type Obstacle } from '../obstacles.js';
import { addPolicyFileOption, readRules, type RuleOptions } from '../policy-rules.js';
import { selectionHost } from '../selection-host.js';
import { toJson } from '../to-json.js';
import { findMissing } from '../vfio-needs.js';
import { addJsonOption } from '../vm-options.js';

interface DevicesOptions extends RuleOptions {
  readonly explain?: true;
  readonly deep?: true;
  readonly for?: string;
  readonly driver?: DriverWish;
}

const HELP = `
Examples:
  qmplug devices
  qmplug devices 0000:3b:00.0
  qmplug devices 'class:gpu driver:!nvidia' --explain
  qmplug devices --json

A DEVICE is a selector: an address, or terms that must all hold. All that match are listed.
Everyone may look; without root, what other users' processes do cannot be read, and is told as such.

JSON: {"devices":[...],"rejected":[{"bdf","reasons":[{"reason","evidence","remedy"}]}],"missing":[...]}
"rejected" tells which of the devices cannot be given to a VM as things are, "missing" what the host lacks for any.
With --explain also "explained":[{"bdf","verdict","reason","rule","evidence","matched","failed","group",
"obstacles":[{"level","reason","evidence","remedy"}],"binding":{"driver","module","writes":[{"path","value"}]}}];
obstacles and binding are null for what the selector does not match.`;

export function defineDevices(program: Command, run: RunWork): Command {
  const command = program
    .command('devices')
    .description(
      "Prints the host's PCI devices, their IOMMU groups and who uses them. Changes nothing.",
    )
    .argument('[device]', 'only those that this selector matches')
    .option('--explain', 'say of each device why an attach would take it or not')
    .option('--deep', 'read also what wakes a sleeping device: serial numbers, the present link')
    .option('--for <owner>', 'who asks, for --explain', once('--for', holdOwner))
    .option('--driver <driver>', `${DRIVER_ABOUT}, for --explain`, once('--driver', driverWish))
    .addHelpText('after', HELP);
  return addJsonOption(addPolicyFileOption(command)).action(
    (device: string | undefined, options: DevicesOptions) =>
      run(async (context) => showDevices(context, device, options), { changesNothing: true }),
  );
}

async function showDevices(
  context: CommandContext,
  device: string | undefined,
  options: DevicesOptions,
): Promise<number> {
  const { environment, output } = context;
  const host = { ...selectionHost(context), effects: rememberReads(environment.effects) };
  const names = await readPciNames(host.effects, host.pciIds);
  const { set, wanted } = await findCandidates(host, device, options);
  const seen = await lookAt(host, wanted);
  const missing = await findMissing(host.effects);
  const lines = wanted.map((candidate): DeviceLine => ({
    candidate,
    obstacles: [...findClaims(candidate, set), ...obstaclesOf(candidate, seen)],
  }));
  const document = documentOf(lines, names, missing);
  if (!options.explain) {
    const { width } = output;
    output.result(toJson(document), () => renderDevices(lines, missing, { names, width }));
    return EXIT.done;
  }
  const explained = await explain(context, host, device, { options, lines, set });
  output.result(toJson({ ...document, explained: explained.candidates }), () =>
    renderExplanation(explained.candidates, missing, explained.refusal),
  );
  return EXIT.done;
}

/** Without a selector nothing is looked for, so nothing is chosen and nothing fails to match. */
async function explain(
  context: CommandContext,
  host: SelectionHost,
  device: string | undefined,
  {
    options,
    lines,
    set,
  }: {
    readonly options: DevicesOptions;
    readonly lines: readonly DeviceLine[];
    readonly set: CandidateSet;
  },
): Promise<{
  readonly candidates: readonly ExplainedCandidate[];
  readonly refusal: Explanation['refusal'];
}> {
  const { rules } = await readRules(context, options, options.for);
  const request = parseSelector(device ?? '*');
  const found = await explainSelector(host, request, { rules, owner: options.for });
  const explanation: Explanation =
    device === undefined
      ? {
          candidates: found.candidates.map((each) => ({ ...each, matched: [] })),
          chosen: [],
          refusal: undefined,
        }
      : found;
  const { bindings, refused } = await planBindings(host, lines, options.driver);
  const told = lines.map(({ candidate, obstacles }): DeviceLine => ({
    candidate,
    obstacles: [...obstacles, ...(refused.get(candidate.name) ?? [])],
  }));
  const candidates = explainCandidates(explanation, set.candidates, { lines: told, bindings });
  return { candidates, refusal: explanation.refusal };
}

/**
 * What binding each to VFIO would write, and what the driver that is asked for cannot be for; nothing is told of what
 * has no group, which cannot be bound.
 */
async function planBindings(
  { effects }: SelectionHost,
  lines: readonly DeviceLine[],
  driver: DriverWish | undefined,
): Promise<{
  readonly bindings: ReadonlyMap<string, PlannedBinding>;
  readonly refused: ReadonlyMap<string, readonly Obstacle[]>;
}> {
  const bindings = new Map<string, PlannedBinding>();
  const refused = new Map<string, readonly Obstacle[]>();
  for (const { candidate } of lines) {
    if (candidate.kind === 'mdev') continue;
    const { bdf, iommuGroup } = candidate.record;
    if (iommuGroup.known && iommuGroup.value === undefined) continue;
    try {
      bindings.set(bdf, await planBinding(effects, bdf, driver));
    } catch (error) {
      // What cannot be read is told as such elsewhere.
      if (error instanceof QmplugError && error.code === 'WRONG_DRIVER') {
        refused.set(bdf, [wrongDriver(error)]);
      }
    }
  }
  return { bindings, refused };
}

/** Every candidate of the host, and those that are asked for. To explain, none matching is an answer. */
async function findCandidates(
  host: SelectionHost,
  device: string | undefined,
  { explain, deep }: DevicesOptions,
): Promise<{ readonly set: CandidateSet; readonly wanted: readonly Candidate[] }> {
  const set = await readCandidates(host, new Set(deep === true ? ['serial'] : []));
  const { candidates } = set;
  if (device === undefined) return { set, wanted: candidates };
  const request = { ...parseSelector(device), policy: { kind: 'all' } as const, orElse: [] };
  if (explain === true) {
    const explanation = await explainSelector(host, request, { guarded: false });
    return { set, wanted: explanation.chosen };
  }
  const { chosen } = await resolveSelector(host, request, { guarded: false });
  const names = new Set<string>(chosen.map(({ name }) => name));
  return { set, wanted: candidates.filter(({ name }) => names.has(name)) };
}

/** Uses and holders are looked into for the devices asked about alone: it reads every process. */
async function lookAt(
  { effects }: SelectionHost,
  wanted: readonly Candidate[],
): Promise<HostSnapshot> {
  const uses = wanted.flatMap((each) => (each.kind === 'pci' ? each.name : []));
  const groups = wanted.flatMap(({ record: { iommuGroup } }) =>
    iommuGroup.known ? (iommuGroup.value ?? []) : [],
  );
  return readHostSnapshot(effects, { uses, holders: [...new Set(groups)] });
}

function obstaclesOf(candidate: Candidate, seen: HostSnapshot): readonly Obstacle[] {
  if (candidate.kind === 'mdev') return [];
  const device = seen.devices.get(candidate.name);
  if (device !== undefined) return findObstacles(device, seen);
  return [
    {
      level: 'block',
      reason: 'unreadable.device',
      evidence: 'what it is cannot be read',
      remedy: `look at /sys/bus/pci/devices/${candidate.name}, and at what the kernel says: dmesg | tail`,
    },
  ];
}

function documentOf(
  lines: readonly DeviceLine[],
  names: PciNames | undefined,
  missing: Awaited<ReturnType<typeof findMissing>>,
) {
  const isBlocking = ({ level }: Obstacle) => level === 'block';
  return {
    devices: lines.map(({ candidate, obstacles }) =>
      describeCandidate(candidate, names, obstacles),
    ),
    rejected: lines
      .filter(({ obstacles }) => obstacles.some(isBlocking))
      .map(({ candidate: { name }, obstacles }) => ({
        bdf: name,
        reasons: obstacles
          .filter(isBlocking)
          .map(({ reason, evidence, remedy }) => ({ reason, evidence, remedy })),
      })),
    missing,
  };
}
