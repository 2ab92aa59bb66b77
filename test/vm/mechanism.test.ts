import { expect, it } from 'vitest';
import { mechanismOf, type MechanismReadings } from '../../src/vm/mechanism.js';

const value = <T>(of: T) => ({ kind: 'value', value: of }) as const;
const base: MechanismReadings = {
  handlerType: value('ICH9-LPC'),
  hasBsel: true,
  portHotplug: undefined,
  machineAcpi: value('auto'),
};

it.each<[Partial<MechanismReadings>, string]>([
  [{}, 'acpi'],
  [{ machineAcpi: value('on') }, 'acpi'],
  [{ machineAcpi: value('off') }, 'none'],
  [{ hasBsel: false }, 'none'],
  [{ handlerType: value('PIIX4_PM') }, 'acpi'],
  [{ handlerType: value('') }, 'none'],
  [{ handlerType: { kind: 'absent' } }, 'none'],
  [{ handlerType: value('pcie-root-port'), portHotplug: value(true) }, 'native'],
  [{ handlerType: value('pcie-root-port'), portHotplug: value(true), hasBsel: false }, 'native'],
  [{ handlerType: value('xio3130-downstream'), portHotplug: value(false) }, 'none'],
  [{ handlerType: value('pci-bridge'), hasBsel: false }, 'shpc'],
  [{ handlerType: value('s390-pcihost') }, 'zpci'],
  [{ handlerType: value('virtual-css-bridge') }, 'ccw'],
])('%j is %s', (readings, mechanism) => {
  expect(mechanismOf({ ...base, ...readings })).toEqual({ known: true, value: mechanism });
});

it.each<Partial<MechanismReadings>>([
  { handlerType: value('vhost-magic') },
  { handlerType: { kind: 'gone' } },
  { handlerType: { kind: 'unreadable', reason: 'no' } },
  { machineAcpi: { kind: 'absent' } },
  { handlerType: value('ioh3420') },
  { handlerType: value('ioh3420'), portHotplug: { kind: 'absent' } },
])('%j is unknown', (readings) => {
  expect(mechanismOf({ ...base, ...readings })).toMatchObject({ known: false });
});
