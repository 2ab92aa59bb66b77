import { escapeControl, type VmStatus } from '../index.js';
import { describeFunction, renderBars } from './render-attach.js';
import { renderTable } from './table.js';

export function renderStatus({ vm, ports, attachments, removals }: VmStatus): string {
  return [
    escapeControl(`${vm.machine} (${vm.arch}), QEMU ${vm.qemu}, ${vm.status}`),
    `VM ${vm.key}`,
    ...(vm.experimental === undefined ? [] : [`experimental: ${vm.experimental}`]),
    '',
    ...renderPorts(ports),
    ...section('attached', attachments.flatMap(renderAttachment)),
    ...section(
      'on the way out',
      removals.map(({ id, state }) => `${id}: ${state}`),
    ),
  ].join('\n');
}

function renderPorts(ports: VmStatus['ports']): readonly string[] {
  if (ports.length === 0) return ['no ports: boot the VM with some, see qmplug boot-args'];
  return renderTable(
    ['PORT', 'STATE', 'HOT-PLUG', 'PATH', 'DEVICES'],
    ports.map(({ id, state, mechanism, guestPath, occupants }) => [
      id,
      state,
      mechanism,
      guestPath,
      occupants.join(' '),
    ]),
  );
}

function renderAttachment({
  group,
  route,
  functions,
  missing,
}: VmStatus['attachments'][number]): readonly string[] {
  const via = route?.kind === 'iommufd' ? ' through iommufd' : '';
  const from = group === undefined ? '' : `, IOMMU group ${group}${via}`;
  return [
    ...functions.flatMap((fn) => [`${describeFunction(fn)}${from}`, ...renderBars(fn.bars)]),
    ...missing.map((id) => `${id}: gone from the VM without being asked${from}`),
  ];
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${escapeControl(line)}`)];
}
