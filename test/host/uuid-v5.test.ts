import { expect, it } from 'vitest';
import { mdevUuidFor, uuidV5 } from '../../src/host/uuid-v5.js';

it('makes the UUIDs of RFC 9562, appendix A.4', () => {
  const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
  expect(uuidV5(dns, 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2');
});

it('never makes one UUID of two VMs and names', () => {
  const pairs = [
    ['a', 'b'],
    ['ab', ''],
    ['', 'ab'],
    ['a","b', 'c'],
    ['a', 'b","c'],
  ] as const;
  expect(new Set(pairs.map(([vm, name]) => mdevUuidFor(vm, name))).size).toBe(pairs.length);
  expect(mdevUuidFor('web', 'gpu0')).toBe(mdevUuidFor('web', 'gpu0'));
});
