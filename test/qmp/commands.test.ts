import { describe, expect, it } from 'vitest';
import { parseJson, stringifyJson, type JsonObject } from '../../src/json.js';
import * as commands from '../../src/qmp/commands.js';
import * as qom from '../../src/qmp/qom-commands.js';
import type { QmpSession } from '../../src/qmp/session.js';

interface Played {
  readonly session: QmpSession;
  readonly sent: [command: string, args: JsonObject | undefined][];
}

/** A session that gives one answer. */
function answering(text: string): Played {
  const sent: Played['sent'] = [];
  const session = {
    execute: (command: string, args?: JsonObject) => {
      sent.push([command, args]);
      return Promise.resolve(parseJson(text));
    },
  };
  // The commands use nothing but `execute`.
  return { session: session as unknown as QmpSession, sent };
}

type Row = [
  name: string,
  run: (session: QmpSession) => Promise<unknown>,
  reply: string,
  value: unknown,
  sent?: string,
];

const ROWS: readonly Row[] = [
  [
    'queryStatus',
    commands.queryStatus,
    '{"status":"prelaunch","running":false,"singlestep":false}',
    { status: 'prelaunch', running: false },
  ],
  [
    'queryVersion',
    commands.queryVersion,
    '{"qemu":{"micro":22,"minor":2,"major":7},"package":"x\\u001b"}',
    { major: 7, minor: 2, micro: 22, package: 'x\\x1b' },
  ],
  ['queryName', commands.queryName, '{}', undefined],
  ['queryName', commands.queryName, '{"name":"vm\\n"}', 'vm\\x0a'],
  ['queryUuid', commands.queryUuid, '{"UUID":"00000000-0000-0000-0000-000000000000"}', undefined],
  [
    'queryUuid',
    commands.queryUuid,
    '{"UUID":"6A2F41A3-C54C-FCE8-32D2-0324E1C32E22"}',
    '6a2f41a3-c54c-fce8-32d2-0324e1c32e22',
  ],
  ['queryTarget', commands.queryTarget, '{"arch":"x86_64"}', 'x86_64'],
  [
    'queryMachines',
    commands.queryMachines,
    '[{"name":"pc-q35-7.2","alias":"q35","cpu-max":288,"deprecated":false}]',
    [{ name: 'pc-q35-7.2', alias: 'q35', isDefault: false, deprecated: false }],
  ],
  [
    'queryMemorySizeSummary',
    commands.queryMemorySizeSummary,
    '{"base-memory":18446744073709551615}',
    { baseBytes: 2n ** 64n - 1n, pluggedBytes: undefined },
  ],
  ['queryMigrate', commands.queryMigrate, '{}', undefined],
  [
    'queryCommands',
    commands.queryCommands,
    '[{"name":"stop"},{"name":"__proto__"}]',
    new Set(['stop', '__proto__']),
  ],
  [
    'queryQmpSchema',
    commands.queryQmpSchema,
    '[{"name":"a","meta-type":"event"}]',
    [{ name: 'a', 'meta-type': 'event' }],
  ],
  [
    'deviceDel',
    (session) => commands.deviceDel(session, 'v0'),
    '{}',
    undefined,
    '["device_del",{"id":"v0"}]',
  ],
  [
    'objectAddIommufd',
    (session) => commands.objectAddIommufd(session, { id: 'i0' }),
    '{}',
    undefined,
    '["object-add",{"qom-type":"iommufd","id":"i0"}]',
  ],
  [
    'objectDel',
    (session) => commands.objectDel(session, 'i0'),
    '{}',
    undefined,
    '["object-del",{"id":"i0"}]',
  ],
  [
    'closeFd',
    (session) => commands.closeFd(session, 'fd0'),
    '{}',
    undefined,
    '["closefd",{"fdname":"fd0"}]',
  ],
  [
    'qomList',
    (session) => qom.qomList(session, '/machine'),
    '[{"name":"rp0","type":"child<pcie-root-port>"}]',
    [{ name: 'rp0', type: 'child<pcie-root-port>', defaultValue: undefined }],
    '["qom-list",{"path":"/machine"}]',
  ],
  [
    'qomGetString',
    (session) => qom.qomGetString(session, '/a', 'type'),
    '"edu"',
    'edu',
    '["qom-get",{"path":"/a","property":"type"}]',
  ],
  ['qomGetBoolean', (session) => qom.qomGetBoolean(session, '/a', 'hotplugged'), 'true', true],
  [
    'qomGetUint64',
    (session) => qom.qomGetUint64(session, '/a', 'pref64-reserve'),
    '18446744073709551615',
    2n ** 64n - 1n,
  ],
  [
    'qomGetDevfn',
    (session) => qom.qomGetDevfn(session, '/a'),
    '255',
    255,
    '["qom-get",{"path":"/a","property":"addr"}]',
  ],
  [
    'qomListGet',
    (session) => qom.qomListGet(session, ['/a']),
    '[{"properties":[{"name":"n","type":"int","value":1},{"name":"x","type":"str"}]}]',
    [
      [
        { name: 'n', type: 'int', value: 1 },
        { name: 'x', type: 'str', value: undefined },
      ],
    ],
  ],
  [
    'deviceListProperties',
    (session) => qom.deviceListProperties(session, 'edu'),
    '[{"name":"dma_mask","type":"uint64","default-value":268435455}]',
    new Map([['dma_mask', { name: 'dma_mask', type: 'uint64', defaultValue: 268435455 }]]),
  ],
  ['qomListProperties', (session) => qom.qomListProperties(session, 'iommufd'), '[]', new Map()],
];

describe('typed commands', () => {
  it.each(ROWS)('%s reads its reply', async (_, run, reply, value, sent) => {
    const played = answering(reply);
    expect(await run(played.session)).toEqual(value);
    if (sent !== undefined)
      expect(played.sent.map((entry) => stringifyJson(entry as never))).toEqual([sent]);
  });

  it.each<[string, (session: QmpSession) => Promise<unknown>, string]>([
    ['queryStatus', commands.queryStatus, '{"status":1,"running":true}'],
    ['queryStatus', commands.queryStatus, '{"status":"x","running":"true"}'],
    ['queryStatus', commands.queryStatus, '[]'],
    ['queryStatus', commands.queryStatus, 'null'],
    [
      'queryVersion',
      commands.queryVersion,
      '{"qemu":{"micro":-1,"minor":2,"major":7},"package":""}',
    ],
    ['queryUuid', commands.queryUuid, '{"UUID":"../../etc"}'],
    ['queryTarget', commands.queryTarget, '{"arch":"../x"}'],
    ['queryMachines', commands.queryMachines, '[{"alias":"q35"}]'],
    ['queryMemorySizeSummary', commands.queryMemorySizeSummary, '{"base-memory":-1}'],
    ['queryMemorySizeSummary', commands.queryMemorySizeSummary, '{"base-memory":1e30}'],
    ['queryCommands', commands.queryCommands, '["stop"]'],
    ['queryQmpSchema', commands.queryQmpSchema, '[[]]'],
    ['qomList', (session) => qom.qomList(session, '/'), '[{"name":"a"}]'],
    ['qomGetString', (session) => qom.qomGetString(session, '/', 'a'), '{"length":1}'],
    ['qomGetUint64', (session) => qom.qomGetUint64(session, '/', 'a'), '-1'],
    ['qomGetDevfn', (session) => qom.qomGetDevfn(session, '/'), '256'],
    ['qomGetDevfn', (session) => qom.qomGetDevfn(session, '/'), '"0x10"'],
    ['qomListGet', (session) => qom.qomListGet(session, ['/a', '/b']), '[{"properties":[]}]'],
  ])('%s refuses a hostile reply: %3$s', async (_, run, reply) => {
    await expect(run(answering(reply).session)).rejects.toMatchObject({
      name: 'ProtocolError',
      code: 'PROTOCOL',
      remedy: expect.stringContaining('ss -xlp') as unknown,
      message: expect.stringContaining(' must be ') as string,
    });
  });

  it.each([
    ['child<pcie-root-port>', 'pcie-root-port'],
    ['child<a>b>', 'a>b'],
    ['link<irq>', undefined],
    ['str', undefined],
  ])('childType of %s is %s', (type, inner) => {
    expect(qom.childType({ name: 'x', type, defaultValue: undefined })).toBe(inner);
  });
});
