import { describe, expect, it } from 'vitest';
import { stringifyJson } from '../../../src/json.js';
import { formatShort } from '../../../src/host/selector/format-short.js';
import { parseSelector } from '../../../src/host/selector/parse-selector.js';
import { formatStructured } from '../../../src/host/selector/parse-structured.js';

const NAMES = [
  ['pciBusID', 'bdf', '0000:3b:00.0'],
  ['pcieRoot', 'root', 'pci0000:00'],
  ['numaNode', 'numa', 1],
] as const;
const read = (value: object) => parseSelector(JSON.stringify(value));

describe.each(NAMES)('the attribute %s', (attribute, field, value) => {
  const spellings = [attribute, `resource.kubernetes.io/${attribute}`];

  it.each(spellings)('is the field, as %s', (name) => {
    const request = read({ match: { [name]: value }, same: name, order: [`-${name}`, name] });
    const canonical = read({ match: { [field]: value }, same: field, order: [`-${field}`, field] });
    expect({ ...request, text: '' }).toEqual({ ...canonical, text: '' });
    const written = formatStructured(request);
    expect(stringifyJson(written)).not.toContain(attribute);
    expect(formatStructured(parseSelector(stringifyJson(written)))).toEqual(written);
    expect(parseSelector(formatShort(request.expression)).expression).toEqual(request.expression);
  });
});

it('takes the conditions and the nesting of a field', () => {
  const request = read({
    any: [{ 'resource.kubernetes.io/numaNode': { gte: 1 } }, { not: { pcieRoot: 'pci0000:00' } }],
    distinct: ['resource.kubernetes.io/pcieRoot'],
    spread: 'numaNode',
  });
  expect(formatShort(request.expression)).toBe('numa>=1 | !root:pci0000:00');
  expect(request).toMatchObject({ distinct: ['root'], spread: 'numa' });
});

it.each([
  ...['constructor', 'toString', '__proto__', 'hasOwnProperty', 'resource.kubernetes.io/'],
  ...['resource.kubernetes.io/constructor', 'resource.kubernetes.io/driver', 'PCIBusID'],
])('knows no field %s', (name) => {
  const refusal = expect.objectContaining({ code: 'SYNTAX' }) as unknown;
  expect(() => parseSelector(`{"match":{"${name}":"x"}}`)).toThrow(refusal);
  expect(() => read({ match: { numa: 0 }, same: name })).toThrow(refusal);
});
