import type { Candidate, Known, PciNames } from '../index.js';
import type { Obstacle } from './obstacles.js';
import { className } from './pci-class.js';
import { renderTable } from './table.js';
import type { MissingNeed } from './vfio-needs.js';

/** A candidate with what stands between it and a VM. */
export interface DeviceLine {
  readonly candidate: Candidate;
  readonly obstacles: readonly Obstacle[];
}

const HEAD = ['ADDRESS', 'GROUP', 'NUMA', 'DRIVER', 'ID', 'DEVICE', 'IN THE WAY OF A VM'];
/** The device's name gives way first. */
const ELASTIC = { column: HEAD.indexOf('DEVICE'), least: 20 };

/** The table for people: one line a device, with what is in the way of handing it over. */
export function renderDevices(
  lines: readonly DeviceLine[],
  missing: readonly MissingNeed[],
  options: { readonly names: PciNames | undefined; readonly width: number | undefined },
): string {
  const rows = lines.map(({ candidate, obstacles }) => [
    ...cellsOf(candidate, options.names),
    summarise(obstacles),
  ]);
  const table = renderTable(HEAD, rows, { width: options.width, elastic: ELASTIC });
  return [...(lines.length === 0 ? ['no PCI devices'] : table), ...missingLines(missing)].join(
    '\n',
  );
}

/** What the host lacks for any device, with the remedies. */
export function missingLines(missing: readonly MissingNeed[]): readonly string[] {
  const needs = missing.flatMap(({ evidence, remedy }) => [`  ${evidence}`, `    ${remedy}`]);
  return needs.length === 0 ? [] : ['', 'missing for VFIO:', ...needs];
}

function cellsOf(candidate: Candidate, names: PciNames | undefined): readonly string[] {
  if (candidate.kind === 'mdev') {
    const { iommuGroup, driver, type, typeName, parent } = candidate.record;
    const name = show(typeName) === '-' ? show(type) : `${show(type)} ${show(typeName)}`;
    return [candidate.name, show(iommuGroup), '-', show(driver), '-', `${name} of ${show(parent)}`];
  }
  const { bdf, iommuGroup, numaNode, driver, vendorId, deviceId } = candidate.record;
  const id =
    vendorId.known && deviceId.known ? `${hex4(vendorId.value)}:${hex4(deviceId.value)}` : '?';
  const node = numaNode.known && numaNode.value < 0 ? '-' : show(numaNode);
  return [bdf, show(iommuGroup), node, show(driver), id, describe(candidate, names)];
}

/** Its class, its SR-IOV role, and its name where a list of names is installed. */
function describe({ record }: Extract<Candidate, { kind: 'pci' }>, names: PciNames | undefined) {
  const { classCode, vendorId, deviceId, sriov } = record;
  const kind = classCode.known ? className(classCode.value) : 'unknown class';
  const role = sriov.known ? roleOf(sriov.value) : '';
  const name =
    vendorId.known && deviceId.known ? names?.device(vendorId.value, deviceId.value) : undefined;
  return `${kind}${role}${name === undefined ? '' : `: ${name}`}`;
}

function roleOf({
  role,
  physfn,
  vfs,
  total,
}: {
  role: string;
  physfn: string | undefined;
  vfs: readonly string[];
  total: number;
}): string {
  if (role === 'vf') return `, VF of ${physfn}`;
  return role === 'pf' ? `, ${vfs.length} of ${total} VFs` : '';
}

/** `-` for what is not, `?` for what could not be read. */
function show(fact: Known<string | number | undefined>): string {
  if (!fact.known) return '?';
  return fact.value === undefined ? '-' : String(fact.value);
}

/** `-`, or every finding; what only warns says so. */
function summarise(obstacles: readonly Obstacle[]): string {
  if (obstacles.length === 0) return '-';
  return obstacles
    .map(({ level, evidence }) => (level === 'warn' ? `(${evidence})` : evidence))
    .join('; ');
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
