/** Names of base classes (PCI Code and ID Assignment Specification, revision 1.11, section 1). */
const BASE_CLASSES: ReadonlyMap<number, string> = new Map([
  [0x00, 'unclassified device'],
  [0x01, 'storage controller'],
  [0x02, 'network controller'],
  [0x03, 'display controller'],
  [0x04, 'multimedia device'],
  [0x05, 'memory controller'],
  [0x06, 'bridge'],
  [0x07, 'communication controller'],
  [0x08, 'system peripheral'],
  [0x09, 'input device'],
  [0x0a, 'docking station'],
  [0x0b, 'processor'],
  [0x0c, 'serial bus controller'],
  [0x0d, 'wireless controller'],
  [0x0e, 'intelligent I/O controller'],
  [0x0f, 'satellite communications controller'],
  [0x10, 'encryption controller'],
  [0x11, 'signal processing controller'],
  [0x12, 'processing accelerator'],
  [0x13, 'non-essential instrumentation'],
  [0x40, 'coprocessor'],
  [0xff, 'device of no defined class'],
]);

/** The subclasses, as base class and subclass in one number, that say more than their base class. */
const SUBCLASSES: ReadonlyMap<number, string> = new Map([
  [0x0100, 'SCSI controller'],
  [0x0101, 'IDE controller'],
  [0x0104, 'RAID controller'],
  [0x0106, 'SATA controller'],
  [0x0107, 'SAS controller'],
  [0x0108, 'NVMe controller'],
  [0x0200, 'Ethernet controller'],
  [0x0207, 'InfiniBand controller'],
  [0x0208, 'fabric controller'],
  [0x0300, 'VGA controller'],
  [0x0302, '3D controller'],
  [0x0400, 'video device'],
  [0x0401, 'audio device'],
  [0x0403, 'HD audio controller'],
  [0x0500, 'RAM'],
  [0x0502, 'CXL memory'],
  [0x0600, 'host bridge'],
  [0x0601, 'ISA bridge'],
  [0x0604, 'PCI bridge'],
  [0x0609, 'PCI bridge'],
  [0x0700, 'serial port'],
  [0x0800, 'interrupt controller'],
  [0x0801, 'DMA controller'],
  [0x0803, 'real-time clock'],
  [0x0805, 'SD host controller'],
  [0x0806, 'IOMMU'],
  [0x0c03, 'USB controller'],
  [0x0c05, 'SMBus controller'],
  [0x0c07, 'IPMI interface'],
]);

/**
 * What a function is, in a word or two.
 *
 * @param classCode 24 bits: base class, subclass, programming interface.
 */
export function className(classCode: number): string {
  const base = classCode >> 16;
  const hex = `0x${classCode.toString(16).padStart(6, '0')}`;
  return SUBCLASSES.get(classCode >> 8) ?? BASE_CLASSES.get(base) ?? `class ${hex}`;
}
