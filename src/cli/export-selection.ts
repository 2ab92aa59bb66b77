import { InputError, stringifyJson, type Candidate, type DeviceRecord } from '../index.js';
import { parseBdf } from '../pci/pci-address.js';

/** Other programs' ways to write down host devices. */
export const FORMATS = ['libvirt', 'nova', 'microvm'] as const;
export type ExportFormat = (typeof FORMATS)[number];

/** The chosen devices as another program's configuration has them. */
export function exportSelection(format: ExportFormat, chosen: readonly Candidate[]): string {
  switch (format) {
    case 'libvirt':
      return chosen.map(hostdev).join('\n');
    case 'nova':
      return functionsOf(format, chosen).map(deviceSpec).join('\n');
    case 'microvm':
      return [
        'microvm.devices = [',
        ...functionsOf(format, chosen).map(({ bdf }) => `  { bus = "pci"; path = "${bdf}"; }`),
        '];',
      ].join('\n');
  }
}

function functionsOf(format: ExportFormat, chosen: readonly Candidate[]): readonly DeviceRecord[] {
  return chosen.map((candidate) => {
    if (candidate.kind === 'pci') return candidate.record;
    throw new InputError(
      'BAD_ARGUMENT',
      `${candidate.name} is a mediated device: ${format} takes PCI functions`,
      {
        remedy: 'choose among functions alone: kind:pci; or take --format libvirt',
        details: { device: candidate.name },
      },
    );
  });
}

/** libvirt's domain XML, "Host device assignment". `managed` would bind it a second time. */
function hostdev(candidate: Candidate): string {
  if (candidate.kind === 'mdev') {
    return `<hostdev mode='subsystem' type='mdev' model='vfio-pci'>
  <source>
    <address uuid='${candidate.name}'/>
  </source>
</hostdev>`;
  }
  const { domain, bus, device, function: fn } = parseBdf(candidate.name);
  const hex = (value: number, width: number) => `0x${value.toString(16).padStart(width, '0')}`;
  return `<hostdev mode='subsystem' type='pci' managed='no'>
  <source>
    <address domain='${hex(domain, 4)}' bus='${hex(bus, 2)}' slot='${hex(device, 2)}' function='${hex(fn, 1)}'/>
  </source>
</hostdev>`;
}

/** Nova's `[pci] device_spec`: ids in four hex digits, and the address. */
function deviceSpec({ bdf, vendorId, deviceId }: DeviceRecord): string {
  const hex = (value: number) => value.toString(16).padStart(4, '0');
  const ids =
    vendorId.known && deviceId.known
      ? { vendor_id: hex(vendorId.value), product_id: hex(deviceId.value) }
      : {};
  return `device_spec = ${stringifyJson({ ...ids, address: bdf })}`;
}
