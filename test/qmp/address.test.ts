import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress, type QmpAddress } from '../../src/qmp/address.js';

const anyAddress: fc.Arbitrary<QmpAddress> = fc.oneof(
  fc
    .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 100 })
    .filter((path) => !path.includes(','))
    .map((path) => ({ kind: 'unix' as const, path })),
  fc
    .tuple(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65535 }))
    .map(([host, port]) => ({ kind: 'tcp' as const, host, port })),
  fc.array(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), { minLength: 1 }).map((words) => ({
    kind: 'exec' as const,
    // The list has at least one word.
    command: words as [string, ...string[]],
  })),
);

describe('parseAddress', () => {
  it('undoes formatAddress for every address', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
  });

  it.each<[string, QmpAddress]>([
    ['/run/vm.sock', { kind: 'unix', path: '/run/vm.sock' }],
    ['unix:/run/vm.sock', { kind: 'unix', path: '/run/vm.sock' }],
    ['./vm.sock', { kind: 'unix', path: './vm.sock' }],
    ['../vm.sock', { kind: 'unix', path: '../vm.sock' }],
    ['unix:vm.sock', { kind: 'unix', path: 'vm.sock' }],
    ['unix:/run/a,b.sock', { kind: 'unix', path: '/run/a,b.sock' }],
    ['tcp:localhost:4444', { kind: 'tcp', host: 'localhost', port: 4444 }],
    ['tcp:[fe80::1%eth0]:1', { kind: 'tcp', host: 'fe80::1%eth0', port: 1 }],
    ['ws://host:5700/', { kind: 'ws', url: 'ws://host:5700/' }],
    ['wss://host/qmp', { kind: 'ws', url: 'wss://host/qmp' }],
    ['exec:nc -U /run/vm.sock', { kind: 'exec', command: ['nc', '-U', '/run/vm.sock'] }],
  ])('reads %s', (text, address) => {
    expect(parseAddress(text)).toEqual(address);
    expect(parseAddress(formatAddress(address))).toEqual(address);
  });

  it.each([
    '',
    'vm.sock',
    'unix:',
    'unix:/a\0b',
    `unix:/${'x'.repeat(107)}`,
    // 107 characters, but more bytes.
    `/${'ü'.repeat(106)}`,
    'unix:/run/vm.sock,server=on,wait=off',
    '/run/vm.sock,server',
    'tcp:4444',
    'tcp:host',
    'tcp:host:',
    'tcp:host:0',
    'tcp:host:65536',
    'tcp:host:44x',
    'tcp:::1:4444',
    'tcp:ho st:1',
    'tcp:host:4444,server=on',
    'ws://',
    'ws://host:5700/#part',
    'ws://user:secret@host:5700/',
    'http://host/',
    'exec:',
    "exec:sh -c 'x",
    'exec:a | b',
    'telnet:host:1',
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });

  it('takes a path of exactly 107 bytes', () => {
    const path = `/${'x'.repeat(106)}`;
    expect(parseAddress(path)).toEqual({ kind: 'unix', path });
  });
});
