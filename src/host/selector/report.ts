import { silentLogger, type Logger } from '../../logger.js';
import type { Candidate } from './candidate.js';
import { isExplicit } from './parse-selector.js';
import type { SelectorRequest } from './request.js';
import type { Resolution } from './resolution.js';

/** Logs which devices were matched, and why those: a line, each note as a warning, and all of it for debugging. */
export function report(
  { text, expression }: SelectorRequest,
  resolution: Resolution,
  asked: {
    readonly logger?: Logger | undefined;
    readonly owner?: string | undefined;
    readonly scope?: string | undefined;
    readonly durationMs?: number | undefined;
  },
): void {
  const { selector, snapshotHash, selectorHash, policy, chosen, rejected, notes } = resolution;
  const { logger = silentLogger, owner, scope, durationMs } = asked;
  const took = durationMs === undefined ? {} : { durationMs };
  const devices = chosen.map(identify);
  const explicit = isExplicit(expression);
  const requester = owner ?? scope ?? null;
  logger.info(
    {
      selector: text,
      explicit,
      canonical: selector,
      policy,
      snapshotHash,
      requester,
      devices,
      ...took,
    },
    `${text} is ${chosen.map(describe).join(', ')}`,
  );
  for (const note of notes) logger.warn({ selector: text, requester }, note);
  logger.debug({ selector, selectorHash, snapshotHash, policy, devices, rejected }, 'resolution');
}

/** A device in a line: `0000:3b:00.0 10de:2204`. */
export function nameWithId(candidate: Candidate): string {
  if (candidate.kind === 'mdev') return candidate.name;
  const { vendorId, deviceId } = candidate.record;
  const hex = (value: number) => value.toString(16).padStart(4, '0');
  if (!vendorId.known || !deviceId.known) return candidate.name;
  return `${candidate.name} ${hex(vendorId.value)}:${hex(deviceId.value)}`;
}

/** Its address and what else tells it from its like. */
function describe(candidate: Candidate): string {
  const identity = identify(candidate);
  if (identity.kind === 'mdev') return `mediated device ${candidate.name}`;
  const { serial, numa, group, driver } = identity;
  const facts = [
    ...(serial === null ? [] : [`serial ${serial}`]),
    ...(numa === null || numa < 0 ? [] : [`NUMA node ${numa}`]),
    group === null ? 'no IOMMU group' : `IOMMU group ${group}`,
    driver === null ? 'no driver' : `driver ${driver}`,
  ];
  return `${nameWithId(candidate)} (${facts.join(', ')})`;
}

function identify(candidate: Candidate) {
  if (candidate.kind === 'mdev') return { name: candidate.name, kind: 'mdev' } as const;
  const { vendorId, deviceId, serials, numaNode, iommuGroup, driver } = candidate.record;
  return {
    name: candidate.name,
    kind: 'pci',
    vendorId: vendorId.known ? vendorId.value : null,
    deviceId: deviceId.known ? deviceId.value : null,
    serial: serials.known ? (serials.value.found[0]?.value ?? null) : null,
    numa: numaNode.known ? numaNode.value : null,
    group: iommuGroup.known ? (iommuGroup.value ?? null) : null,
    driver: driver.known ? (driver.value ?? null) : null,
  } as const;
}
