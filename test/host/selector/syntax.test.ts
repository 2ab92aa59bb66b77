import { describe, expect, it } from 'vitest';
import { compileGlob } from '../../../src/host/selector/glob.js';
import { compileRegex } from '../../../src/host/selector/regex.js';
import { formatShort } from '../../../src/host/selector/format-short.js';
import { parseRequest, parseSelector } from '../../../src/host/selector/parse-selector.js';
import { formatStructured } from '../../../src/host/selector/parse-structured.js';

const canonical = (text: string) => formatShort(parseSelector(text).expression);

it.each([
  ['0000:3B:00.0', 'bdf:0000:3b:00.0'],
  ['3b:00.0', 'bdf:*:3b:00.0'],
  ['10000:E1:00.0', 'bdf:10000:e1:00.0'],
  ['pci_0000_3b_00_1', 'bdf:0000:3b:00.1'],
  ['0000:01:*.*', 'bdf:0000:01:*.*'],
  ['01:*.0', 'bdf:*:01:*.0'],
  ['bdf:0000:0[1-3]:*.0', 'bdf:0000:0[1-3]:*.0'],
  ['10DE:2204', 'id:10de:2204'],
  ['10de:*', 'id:10de:*'],
  [':2204', 'id:*:2204'],
  ['dead:beef', 'id:dead:beef'],
  ['id:0x10DE:0x2204', 'id:10de:2204'],
  ['83B8F4F2-509f-382f-3c1e-e6bfe0fa1001', 'uuid:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
  [
    '/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001',
    'uuid:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001',
  ],
  ['-s 01:00.0', 'bus:01 slotno:00 fn:0'],
  ['-s 0:1:2.3', 'domain:0000 bus:01 slotno:02 fn:3'],
  ['-s 3b:', 'bus:3b'],
  ['-s .1', 'fn:1'],
  ['-s 1c', 'slotno:1c'],
  ['-d 10de:', 'vendor:10de'],
  ['-d :2204:0300', 'device:2204 class:0300'],
  ['-d 8086::0200:00 vf', '(vendor:8086 class:0200 progif:00) vf'],
  ['*', 'bdf:**'],
  ['id:10de:2204 class:display driver:!nvidia', 'id:10de:2204 class:display driver:!nvidia'],
  ['numa:00 group:7', 'numa:0 group:7'],
  ['bus:1-0xF', 'bus:01-0f'],
  ['subsys:1458:*', 'subsys:1458:*'],
  ['slot:"PCIe 3"', 'slot:"pcie 3"'],
  ['slot:"a\\*b"', 'slot:"a\\*b"'],
  ['vf pf-of:0000:01:00.0', 'vf pf-of:(bdf:0000:01:00.0)'],
  ['bar>=16384M', 'bar>=16G'],
  ['(class:gpu | class:nvme) !in-use', '(class:gpu | class:nvme) !in-use'],
  ['class:gpu|class:nvme', 'class:gpu | class:nvme'],
  ['  has:SERIAL  ', 'has:serial'],
  ['name:/eth[0-9]+/', 'name:/eth[0-9]+/'],
  ['path:pci-0000:00:1c.4/00.0', 'path:pci-0000:00:1c.4/00.0'],
  ['attr.power/control=auto', 'attr.power/control:auto'],
  ['attr.msi_bus=0x1', 'attr.msi_bus=0x1'],
  ['udev.ID_PATH=pci-*', 'udev.ID_PATH:pci-*'],
  ['boot-vga', 'boot-vga'],
  ['vendor:"NVIDIA Corporation"', 'vendor:"nvidia corporation"'],
])('reads %s as %s', (text, expected) => {
  expect(canonical(text)).toBe(expected);
  expect(canonical(expected)).toBe(expected);
});

it.each([
  ['', 0],
  ['   ', 3],
  ['nope:1', 0],
  ['numa:0 nope:1', 7],
  ['numa:x', 5],
  ['numa:', 5],
  ['bdf:foo', 4],
  ['bdf:0000:3b:00.0/../x', 4],
  ['bdf:../../etc', 4],
  ['bdf:0000:[3:00.0', 4],
  ['bdf:0000:3]:00.0', 4],
  ['driver:a]', 7],
  ['driver:[b-a]', 7],
  ['driver:"open', 7],
  ['driver:/open', 7],
  ['driver:/(a/', 7],
  ['driver:/a**/', 7],
  ['driver:/(?=a)/', 7],
  ['driver:/\\1/', 7],
  ['driver:/a{3,2}/', 7],
  ['driver:/((((a{64}){64}){64}){64})/', 7],
  ['(numa:0', 0],
  ['numa:0)', 6],
  ['numa:0 |', 8],
  ['| numa:0', 0],
  ['!', 1],
  ['!!vf', 1],
  ['driver:a,,b', 9],
  ['driver>3', 6],
  ['bar>=big', 5],
  ['bar:*G', 4],
  ['fn:9', 3],
  ['vendor:', 7],
  ['id:10de', 3],
  ['class:gpuu', 6],
  ['class:030', 6],
  ['sriov:maybe', 6],
  ['bus:0f-01', 4],
  ['3b:00', 0],
  ['1*:2*', 0],
  ['*:*', 0],
  ['0000:3b:20.0', 0],
  ['0000:3b:00.8', 0],
  ['0000:3b:*', 0],
  ['-s', 2],
  ['-s zz:00', 3],
  ['-d 10de', 3],
  ['attr.../../etc/passwd:x', 0],
  ['attr.driver_override:x', 0],
  ['attr.config:x', 0],
  ['has:nope', 4],
  ['group-by:x', 0],
  ['a b', 0],
  ['0000:3b:00.0"x"', 12],
  ['\u0000', 0],
])('refuses %j at position %i', (text, position) => {
  expect(() => parseSelector(text)).toThrow(
    expect.objectContaining({
      code: 'SYNTAX',
      details: expect.objectContaining({ position }) as unknown,
    }),
  );
});

it('names both readings of what has two, and what is near a field that is none', () => {
  expect(() => parseSelector('1*:2*')).toThrow(/id:1\*:2\*.*bdf:1\*:2\*\.\*/);
  expect(() => parseSelector('drivr:x')).toThrow(/there is driver/);
});

it('is not slowed down by patterns that were made to', () => {
  const slow = `driver:/${'a?'.repeat(80)}${'a'.repeat(80)}/`;
  const { expression } = parseSelector(slow);
  expect(formatShort(expression)).toBe(slow);
  expect(compileRegex(`${'a?'.repeat(80)}${'a'.repeat(80)}`)('a'.repeat(120))).toBe(true);
  expect(compileRegex('(a|a|(a*)*)*b')('a'.repeat(2000))).toBe(false);
  expect(compileGlob('*a'.repeat(60))('a'.repeat(2000))).toBe(true);
  expect(() => parseSelector('('.repeat(5000))).toThrow(
    expect.objectContaining({ code: 'SYNTAX' }),
  );
  expect(() => parseSelector(`${'('.repeat(100)}vf${')'.repeat(100)}`)).toThrow(
    /nested too deeply/,
  );
});

describe('the structured form', () => {
  const read = (value: unknown) => parseSelector(JSON.stringify(value));

  it('says the same as the short one', () => {
    const { expression } = read({
      match: { id: '10de:*', driver: { ne: 'nvidia' }, bar: { gte: '16G' }, vf: true },
      any: [{ numa: 0 }, { slot: { eq: 'a*b' } }],
      exclude: { 'boot-vga': true },
    });
    expect(formatShort(expression)).toBe(
      '(id:10de:* driver:!nvidia bar>=16G vf) (numa:0 | slot:"a\\*b") !boot-vga',
    );
  });

  it('keeps what stands beside the match', () => {
    const full = {
      match: { class: 'gpu' },
      policy: 'group-by:numa:first:1',
      order: ['-bar', 'distance'],
      same: ['root'],
      distinct: ['numa'],
      spread: 'group',
      include: ['functions'],
      expect: { vendor: '10de', count: 2 },
      pin: { file: '/etc/x.pin', follow: true },
      numa: 'required',
      allowInUse: ['in-use.net'],
      orElse: [{ match: { class: 'nvme' } }],
    };
    expect(formatStructured(read(full))).toEqual(full);
  });

  it.each([
    {},
    { match: {} },
    { match: { nope: 1 } },
    { match: { numa: true } },
    { match: { numa: [] } },
    { match: { numa: null } },
    { match: { numa: { gte: 'x' } } },
    { match: { driver: { gte: 1 } } },
    { match: { driver: { glob: '[a' } } },
    { match: { driver: { ne: { ne: 'x' } } } },
    { match: { driver: { eq: 'a', glob: 'b' } } },
    { match: { driver: { like: 'b' } } },
    { match: { serial: { exists: 1 } } },
    { match: { numa: 0 }, extra: 1 },
    { match: { numa: 0 }, policy: 'some' },
    { match: { numa: 0 }, policy: 'first:0' },
    { match: { numa: 0 }, policy: 'group-by:nope' },
    { match: { numa: 0 }, order: ['nope'] },
    { match: { numa: 0 }, spread: 'numa', pack: 'numa' },
    { match: { numa: 0 }, include: ['all'] },
    { match: { numa: 0 }, expect: { colour: 'red' } },
    { match: { numa: 0 }, expect: { count: 0 } },
    { match: { numa: 0 }, pin: { follow: true } },
    { match: { numa: 0 }, allowInUse: ['*'] },
    { match: { numa: 0 }, orElse: [{ match: { numa: 1 }, orElse: [] }] },
    { any: [] },
    { any: {} },
    { match: { all: [] } },
  ])('refuses %j', (value) => {
    expect(() => read(value)).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
  });

  it('refuses what is no JSON, and options that make no sense', () => {
    expect(() => parseSelector('{"match"')).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
    expect(() => parseRequest('vf', { policy: 'many' })).toThrow(/options\.policy/);
    expect(() => parseRequest('vf', { spread: 'numa', pack: 'root' })).toThrow(
      /exclude each other/,
    );
  });
});
