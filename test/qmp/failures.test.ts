import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RetryAdvice } from '../../src/qmp/failure-entry.js';
import { FAILURE_TABLE } from '../../src/qmp/failure-table.js';
import { classifyFailure, CommandError, type FailureKind } from '../../src/qmp/failures.js';

type Row = [command: string, text: string, kind: FailureKind, advice: RetryAdvice];

/** Texts as QEMU 7.2 and 10.0 write them. */
const GENERIC: readonly Row[] = [
  ['device_add', "Duplicate device ID 'v0'", 'duplicate-id', 'reconcile'],
  ['device_add', "Bus 'rp9' not found", 'bus-not-found', 'reconcile'],
  ['device_add', "Bus 'pcie.0' does not support hotplugging", 'not-hotpluggable', 'permanent'],
  [
    'device_add',
    "Device 'vfio-pci-nohotplug' does not support hotplugging",
    'not-hotpluggable',
    'permanent',
  ],
  [
    'device_add',
    'PCI: slot 0 function 0 not available for pci-testdev, in use by e1000e,id=n0',
    'slot-occupied',
    'reconcile',
  ],
  [
    'device_add',
    'PCI: slot 0 function 0 not available for pci-testdev, in use by mch,id=(null)',
    'slot-occupied',
    'reconcile',
  ],
  [
    'device_add',
    'PCI: slot 0 function 0 already occupied by e1000e, new func e1000e cannot be exposed to guest.',
    'slot-occupied',
    'reconcile',
  ],
  [
    'device_add',
    'PCI: no slot/function available for edu, all in use or reserved',
    'bus-full',
    'permanent',
  ],
  ['device_add', 'device_add not allowed while migrating', 'migrating', 'after-window'],
  ['device_del', 'device_del not allowed while migrating', 'migrating', 'after-window'],
  [
    'device_add',
    "'pcie-root-port' is not a valid device model name",
    'type-not-found',
    'permanent',
  ],
  ['device_add', "Property 'vfio-ccw.host' not found", 'property-not-found', 'permanent'],
  ['device_add', "Property 'vfio-pci.host' doesn't take value 'zz'", 'bad-argument', 'permanent'],
  [
    'device_add',
    "Invalid parameter type for 'multifunction', expected: boolean",
    'bad-argument',
    'permanent',
  ],
  ['device_add', "Parameter 'id' expects an identifier", 'bad-argument', 'permanent'],
  ['device_add', 'Device fe.0.0005 already exists', 'slot-occupied', 'reconcile'],
  ['device_add', 'uid 1 already in use', 'index-taken', 'permanent'],
  [
    'device_add',
    "Unsupported bus. Bus doesn't have property 'acpi-pcihp-bsel' set",
    'not-hotpluggable',
    'permanent',
  ],
  [
    'device_add',
    'PCI: 0.0 indicates single function, but 0.1 is already populated.',
    'multifunction',
    'permanent',
  ],
  // VFIO
  ['device_add', 'No provided host device', 'no-host-device', 'permanent'],
  [
    'device_add',
    'vfio /sys/bus/pci/devices/0000:41:00.0: no such host device: No such file or directory',
    'no-host-device',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: no iommu_group found: No such file or directory',
    'no-iommu-group',
    'permanent',
  ],
  ['device_add', 'vfio 0000:41:00.0: group 17 is not viable', 'group-not-viable', 'permanent'],
  ['device_add', 'vfio 0000:41:00.0: device is already attached', 'already-attached', 'reconcile'],
  [
    'device_add',
    'vfio 0000:41:00.0: error getting device from group 17: Device or resource busy',
    'group-busy',
    'after-window',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: failed to open /dev/vfio/17: Device or resource busy',
    'group-busy',
    'after-window',
  ],
  [
    'device_add',
    "vfio 0000:41:00.0: Could not open '/dev/vfio/17': Permission denied",
    'permission',
    'permanent',
  ],
  [
    'device_add',
    "vfio 0000:41:00.0: Could not open '/dev/vfio/17': No such file or directory",
    'not-bound',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:00:05.0: failed to setup container for group 3: Failed to set iommu for container: Operation not permitted',
    'no-interrupt-remapping',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: failed to setup container for group 17: memory listener initialization failed: Region pc.ram: vfio_dma_map(0x55d, 0x0, 0x80000000, 0x7f) = -12 (Cannot allocate memory)',
    'memlock',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: failed to setup container for group 17: memory listener initialization failed: Region pc.ram: vfio_container_dma_map(0x55d, 0x0, 0x80000000, 0x7f) = -28 (No space left on device)',
    'dma-limit',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: failed to setup container for group 17: No available IOMMU models',
    'container',
    'permanent',
  ],
  [
    'device_add',
    'vfio 0000:41:00.0: failed to read device config space',
    'dead-device',
    'permanent',
  ],
  // device_del
  [
    'device_del',
    'Device v0 is already in the process of unplug',
    'already-unplugging',
    'reconcile',
  ],
  [
    'device_del',
    'Hot-unplug failed: guest is busy (power indicator blinking)',
    'guest-busy',
    'after-window',
  ],
  ['device_del', ' is not a device', 'not-a-device', 'permanent'],
  // Objects
  [
    'object-add',
    "Parameter 'qom-type' does not accept value 'iommufd'",
    'type-not-found',
    'permanent',
  ],
  [
    'object-add',
    "attempt to add duplicate property 'iommufd0' to object (type 'container')",
    'duplicate-id',
    'reconcile',
  ],
  [
    'object-del',
    "object 'iommufd0' is in use, can not be deleted",
    'object-in-use',
    'after-window',
  ],
  [
    'object-del',
    "Can not delete IOMMUFD backend 'iommufd0' with 2 users",
    'object-in-use',
    'after-window',
  ],
  ['object-del', "object 'iommufd0' not found", 'object-not-found', 'reconcile'],
];

describe('classifyFailure', () => {
  it.each(GENERIC)('%s: %s is %s, %s', (command, desc, kind, advice) => {
    expect(classifyFailure(command, { class: 'GenericError', desc })).toMatchObject({
      kind,
      advice,
    });
  });

  it.each<[string, FailureKind]>([
    ['device_del', 'device-not-found'],
    ['device_add', 'reference-not-found'],
    ['qom-get', 'path-not-found'],
    ['qom-list', 'path-not-found'],
    ['device-list-properties', 'type-not-found'],
  ])('tells what DeviceNotFound means after %s', (command, kind) => {
    const reply = { class: 'DeviceNotFound', desc: "Device 'x' not found" };
    expect(classifyFailure(command, reply).kind).toBe(kind);
  });

  it('does not take a text for a class that QEMU would have sent with it', () => {
    const reply = { class: 'GenericError', desc: 'The command x has not been found' };
    expect(classifyFailure('query-pci', reply).kind).toBe('unknown');
  });

  it.each(['', 'something new', "xDuplicate device ID 'v0'", "Bus 'rp9' not found yet"])(
    'calls %j unknown instead of guessing',
    (desc) => {
      expect(classifyFailure('device_add', { class: 'GenericError', desc })).toEqual({
        kind: 'unknown',
        advice: 'permanent',
        remedy: undefined,
      });
    },
  );

  it('finds every entry of the tables by a text of its own making', () => {
    for (const entry of FAILURE_TABLE) {
      const {
        text,
        commands,
        class: errorClass,
      }: {
        readonly text: string;
        readonly commands?: readonly string[];
        readonly class?: string;
      } = entry;
      const desc = text.replaceAll('%s', 'some text').replaceAll('%d', '17');
      const reply = { class: errorClass ?? 'GenericError', desc };
      const { kind } = classifyFailure(commands?.[0] ?? 'device_add', reply);
      expect([text, kind]).toEqual([text, entry.kind]);
    }
  });

  it('takes no time over hostile texts', () => {
    const pieces = FAILURE_TABLE.flatMap(({ text }) => text.split(/%[sd]/));
    fc.assert(
      fc.property(fc.constantFrom(...pieces), fc.constantFrom(...pieces), (start, rest) => {
        const desc = start + rest.padEnd(1, 'x').repeat(2_000);
        classifyFailure('device_add', { class: 'GenericError', desc });
      }),
      { numRuns: 200, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: true },
    );
  });
});

describe('CommandError', () => {
  it('carries the remedy of its kind, and the reply as it came', () => {
    const reply = { class: 'GenericError', desc: 'vfio 0000:41:00.0: group 17 is not viable\n' };
    const error = new CommandError('device_add', { id: 'v0' }, reply);
    expect(error.reply).toBe(reply);
    expect(error.desc).toBe('vfio 0000:41:00.0: group 17 is not viable\\x0a');
    expect(error.remedy).toBeUndefined();
    const clean = new CommandError(
      'device_add',
      { id: 'v0' },
      { ...reply, desc: reply.desc.trim() },
    );
    expect(clean.remedy).toContain('qmplug devices');
  });
});
