import { describe, expect, it } from 'vitest';
import { parseJson, stringifyJson, type JsonValue } from '../../src/json.js';
import { ReplyValue } from '../../src/qmp/guards.js';
import { openWindow, readPciTree } from '../../src/qmp/query-pci.js';

const read = (value: JsonValue) => readPciTree(ReplyValue.of('query-pci', value));

/** Shape and values of QEMU 10.0.13, q35, SeaBIOS, `rp1` with a hot-added pci-testdev. */
const TREE = `[{"bus": 0, "devices": [
  {"bus": 0, "slot": 0, "function": 0, "qdev_id": "", "irq_pin": 0,
   "class_info": {"class": 1536, "desc": "Host bridge"},
   "id": {"vendor": 32902, "device": 10688, "subsystem-vendor": 6900, "subsystem": 4352},
   "regions": []},
  {"bus": 0, "slot": 5, "function": 0, "qdev_id": "rp1", "irq_pin": 1, "irq": 10,
   "class_info": {"class": 1540}, "id": {"vendor": 6966, "device": 12},
   "regions": [{"bar": 0, "type": "memory", "size": 4096, "address": 4267708416,
     "prefetch": false, "mem_type_64": false}],
   "pci_bridge": {
     "bus": {"number": 0, "secondary": 1, "subordinate": 1,
       "io_range": {"base": 49152, "limit": 49151},
       "memory_range": {"base": 4269801472, "limit": 4271898623},
       "prefetchable_range": {"base": 1082331758592, "limit": 18446744073709551615}},
     "devices": [
       {"bus": 1, "slot": 0, "function": 0, "qdev_id": "hot0", "irq_pin": 0,
        "class_info": {"class": 255}, "id": {"vendor": 6966, "device": 5},
        "regions": [
          {"bar": 1, "type": "io", "size": 256, "address": -1},
          {"bar": 2, "type": "memory", "size": 4294967296, "address": 1082331758592,
            "prefetch": true, "mem_type_64": true}]}]}}]}]`;

/** The tree with one text in it replaced; fails when the text is not there exactly once. */
function altered(from: string, to: string): JsonValue {
  expect(TREE.split(from)).toHaveLength(2);
  return parseJson(TREE.replace(from, to));
}

describe('readPciTree', () => {
  it('reads bridges, regions and 64-bit ranges', () => {
    const [root] = read(parseJson(TREE));
    const [hostBridge, port] = root?.devices ?? [];
    expect(hostBridge).toMatchObject({ qdevId: undefined, bridge: undefined, subsystemId: 4352 });
    expect(port).toMatchObject({ qdevId: 'rp1', slot: 5, subsystemVendorId: undefined });
    expect(port?.bridge).toMatchObject({
      secondaryBus: 1,
      prefetchableRange: { base: 1082331758592n, limit: 2n ** 64n - 1n },
    });
    expect(port?.bridge?.devices?.[0]?.regions).toEqual([
      {
        bar: 1,
        kind: 'io',
        sizeBytes: 256n,
        address: undefined,
        prefetchable: false,
        is64bit: false,
      },
      {
        bar: 2,
        kind: 'memory',
        sizeBytes: 4294967296n,
        address: 1082331758592n,
        prefetchable: true,
        is64bit: true,
      },
    ]);
  });

  it('reads a window that OVMF closed at the top of the address space', () => {
    // As QEMU 7.2.22 prints it under OVMF 2022.11 for a port that got no prefetchable window.
    const closed = altered(
      '{"base": 1082331758592, "limit": 18446744073709551615}',
      '{"base": -1048576, "limit": 1048575}',
    );
    const range = read(closed)[0]?.devices[1]?.bridge?.prefetchableRange;
    expect(range).toEqual({ base: 0xffff_ffff_fff0_0000n, limit: 0xf_ffffn });
    expect(range && openWindow(range)).toBeUndefined();
  });

  it('tells a port that was not numbered yet from an empty one', () => {
    const withDevices = (devices: string) => {
      const port = TREE.slice(
        TREE.indexOf('{"bus": 0, "slot": 5'),
        TREE.indexOf('"devices": [\n       {'),
      );
      const text = `[{"bus":0,"devices":[${port.trim().replace(/,$/, '')}${devices}}}]}]`;
      return read(parseJson(text))[0]?.devices[0]?.bridge?.devices;
    };
    expect(withDevices('')).toBeUndefined();
    expect(withDevices(', "devices": []')).toEqual([]);
  });

  it.each([
    ['no list', parseJson('{"bus":0}')],
    ['null', null],
    ['a list of numbers', [1]],
    ['no devices', parseJson('[{"bus":0}]')],
    ['a bus of 256', altered('[{"bus": 0, "dev', '[{"bus": 256, "dev')],
    ['a negative slot', altered('"slot": 5', '"slot": -5')],
    ['slot 32', altered('"slot": 5', '"slot": 32')],
    ['a slot of 2^64 - 1', altered('"slot": 5', '"slot": 18446744073709551615')],
    ['a slot as text', altered('"slot": 5', '"slot": "5"')],
    ['half a slot', altered('"slot": 5', '"slot": 5.5')],
    ['no slot', altered('"slot": 5, ', '')],
    ['an id that is no text', altered('"hot0"', '{"toString":1}')],
    ['no id', altered('"qdev_id": "hot0", ', '')],
    ['a size of 0', altered('"size": 256', '"size": 0')],
    ['a negative size', altered('"size": 256', '"size": -256')],
    ['a size of 2^64', altered('"size": 256', '"size": 18446744073709551616')],
    ['a size with a fraction', altered('"size": 256', '"size": 256.5')],
    ['an address of -2', altered('"address": -1', '"address": -2')],
    ['an unknown type of region', altered('"io", "size"', '"port", "size"')],
    ['bar 7', altered('"bar": 1', '"bar": 7')],
    ['a negative base', altered('"base": 49152', '"base": -1')],
    ['a range that is no object', altered('{"base": 49152, "limit": 49151}', '[]')],
    ['a flag as text', altered('"prefetch": true', '"prefetch": "yes"')],
    ['a bridge that is a list', altered('"pci_bridge": {', '"pci_bridge": [1], "x": {')],
  ])('refuses %s and names the place', (_, value) => {
    expect(() => read(value)).toThrow(
      expect.objectContaining({
        name: 'ProtocolError',
        code: 'PROTOCOL',
        message: expect.stringMatching(/^query-pci: return.* must be /) as string,
      }),
    );
  });

  it('names the very member', () => {
    expect(() => read(altered('"size": 256', '"size": "\\u001b[2J"'))).toThrow(
      'query-pci: return[0].devices[1].pci_bridge.devices[0].regions[0].size ' +
        'must be an integer from 1 to 2^64 - 1, not "\\u001b[2J"',
    );
  });

  it('does not follow bridges without end', () => {
    const { devices } = (
      parseJson(TREE) as unknown as [{ devices: [unknown, Record<string, unknown>] }]
    )[0];
    let device = devices[1];
    for (let depth = 0; depth < 300; depth++) {
      device = {
        ...devices[1],
        pci_bridge: { ...(devices[1].pci_bridge as object), devices: [device] },
      };
    }
    // Made of parsed JSON only.
    const value = [{ bus: 0, devices: [device] }] as unknown as JsonValue;
    expect(stringifyJson(value)).toContain('rp1');
    expect(() => read(value)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
  });
});

describe('openWindow', () => {
  it('takes the limit for inclusive and base > limit for closed', () => {
    expect(openWindow({ base: 4096n, limit: 4095n })).toBeUndefined();
    expect(openWindow({ base: 4096n, limit: 4096n })).toEqual({ base: 4096n, limit: 4096n });
  });
});
