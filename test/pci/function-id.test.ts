import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatFunctionId,
  functionIdOf,
  isFunctionId,
  parseFunctionId,
} from '../../src/pci/function-id.js';
import { toBdf } from '../../src/pci/pci-address.js';

const parts = fc.record({ group: fc.nat(0xffffff), index: fc.nat(4096) });

describe('parseFunctionId', () => {
  it('undoes formatFunctionId, within the alphabet of every QEMU', () => {
    fc.assert(
      fc.property(parts, (value) => {
        const id = formatFunctionId(value);
        expect(parseFunctionId(id)).toEqual(value);
        expect(isFunctionId(id)).toBe(true);
        expect(id).toMatch(/^[A-Za-z][A-Za-z0-9._-]*$/);
      }),
    );
  });

  it.each([
    '',
    'vfio_device_1',
    'vfio_device_01_0',
    'vfio_device_1_00',
    'vfio_device_-1_0',
    'vfio_device_1_0\n',
    'vfio_device_1_0.1',
    'vfio_device_99999999999999999999_0',
    'net0',
  ])('refuses %j', (text) => {
    expect(() => parseFunctionId(text)).toThrow(expect.objectContaining({ code: 'BAD_ID' }));
    expect(isFunctionId(text)).toBe(false);
  });
});

it.each([-1, 1.5, Number.NaN])('makes no id for group %s', (group) => {
  expect(() => formatFunctionId({ group, index: 0 })).toThrow(
    expect.objectContaining({ code: 'BAD_ID' }),
  );
});

it('numbers the members of a group by address, however they are listed', () => {
  const members = ['10000:01:00.0', '0000:0a:00.0', '0000:09:00.1'].map(toBdf);
  expect(functionIdOf(7, members, toBdf('0000:09:00.1'))).toBe('vfio_device_7_0');
  expect(functionIdOf(7, members, toBdf('0000:0a:00.0'))).toBe('vfio_device_7_1');
  expect(functionIdOf(7, members, toBdf('10000:01:00.0'))).toBe('vfio_device_7_2');
  expect(() => functionIdOf(7, members, toBdf('0000:01:00.0'))).toThrow(/not in IOMMU group 7/);
});
