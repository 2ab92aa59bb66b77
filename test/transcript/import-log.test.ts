import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  checkTranscript,
  createPlayer,
  formatTranscript,
  importLog,
  type ImportOptions,
  type LogFormat,
} from '../../src/transcript/index.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}';

function read(text: string, options: Partial<ImportOptions> = {}) {
  const imported = importLog(text, { source: 'a.log', scenario: 'a', ...options });
  expect(checkTranscript(formatTranscript(imported.transcript)).findings).toEqual([]);
  createPlayer(imported.transcript);
  return imported;
}

/** What was said, without greeting and negotiation: `-> stop`, `<- {}`. */
function said(text: string, options: Partial<ImportOptions> = {}): readonly string[] {
  const { entries } = read(text, { qemu: '7.2.22', ...options }).transcript;
  const negotiation = entries.findIndex(({ msg }) => msg.execute === 'qmp_capabilities');
  return entries.slice(negotiation + 2).map(({ dir, msg }) => {
    const what = msg.execute ?? msg.event ?? msg.return ?? msg.error;
    const args = msg.arguments === undefined ? '' : ` ${JSON.stringify(msg.arguments)}`;
    return `${dir} ${typeof what === 'string' ? what : JSON.stringify(what)}${args}`;
  });
}

describe.each<readonly [name: string, out: string, into: string]>([
  ['arrows', '-> ', '<- '],
  ['long arrows behind a time', '2024-03-01 10:00:00.250 --> ', '2024-03-01 10:00:01.500 <-- '],
  ['angle brackets', '>>> ', '<<< '],
  ['one bracket without a blank', '>', '<'],
  ['Unicode arrows', '[vm1] → ', '[vm1] ← '],
  ['letters', 'C: ', 'S: '],
  ['words', '10:00:00.1 DEBUG qmp: send: ', '10:00:00.2 DEBUG qmp: recv: '],
  ['sent and received', 'sent ', 'received '],
])('a line log with %s', (_, out, into) => {
  const text = [
    `${into}${GREETING}`,
    `${out}{"execute": "qmp_capabilities"}`,
    `${into}{"return": {}}`,
    '',
    '# a comment',
    `${out}{"execute": "device_del", "arguments": {"id": "d0"}}`,
    `${into}{"return": {}}`,
    `${into}{"event": "DEVICE_DELETED", "data": {"device": "d0"}}`,
  ].join('\n');

  it('is told by itself and says the same', () => {
    const { format, added, transcript } = read(text);
    expect({ format, added }).toEqual({ format: 'lines', added: [] });
    expect(transcript.header).toMatchObject({ qemu: '7.2.22', origin: 'synthetic' });
    expect(said(text)).toEqual(['out device_del {"id":"d0"}', 'in {}', 'in DEVICE_DELETED']);
  });

  it('may spread its messages over lines', () => {
    const pretty = text.replaceAll(
      /(\{"execute": "device_del")/g,
      '{\n "execute":\n\t"device_del"',
    );
    expect(said(pretty)).toEqual(said(text));
  });

  it('refuses a direction that the message contradicts, by its line', () => {
    const swapped = text.replace(`${into}{"event"`, `${out}{"event"`);
    expect(() => read(swapped)).toThrow(/^a\.log, line 8: the direction is .* QEMU says that/);
  });
});

it('keeps the times of a log, and never goes back', () => {
  const text = [
    `2024-03-01 10:00:00.250 -> {"execute": "stop"}`,
    `2024-03-01 10:00:00.260 <- {"return": {}}`,
    `<- {"event": "STOP"}`,
    `2024-03-01 09:00:00.000 -> {"execute": "cont"}`,
    `2024-03-01T10:00:02,5 <- {"return": {}}`,
  ].join('\n');
  const { transcript } = read(text, { qemu: '7.2.22' });
  const times = transcript.entries.slice(3).map(({ t }) => t);
  expect(times).toEqual([0, 10, 10, 10, 2250].slice(0));
});

describe('a log of qmp-shell', () => {
  it.each<[string, string]>([
    [
      'of its option -l: command and reply in one object',
      '{"execute": "device_del", "arguments": {"id": "d0"}, "return": {}}\n' +
        '{"execute": "stop", "arguments": {}, "error": {"class": "GenericError", "desc": "no"}}\n',
    ],
    [
      'with -p: pretty objects',
      '{\n    "arguments": {\n        "id": "d0"\n    },\n    "execute": "device_del",\n    "return": {}\n}\n' +
        '{\n    "error": {\n        "class": "GenericError",\n        "desc": "no"\n    },\n    "execute": "stop",\n    "arguments": {}\n}\n',
    ],
    [
      'in two columns',
      '{"execute": "device_del", "arguments": {"id": "d0"}}\t{"return": {}}\n' +
        '{"execute": "stop", "arguments": {}}\t{"error": {"class": "GenericError", "desc": "no"}}\n',
    ],
    [
      'copied from a terminal',
      'Welcome to the QMP low-level shell!\nConnected to QEMU 7.2.22\n\n' +
        '(QEMU) device_del id=d0\n{"return": {}}\n' +
        '(QEMU) stop\n{"error": {"class": "GenericError", "desc": "no"}}\n(QEMU) exit\n',
    ],
    [
      'copied from a terminal under -v',
      '(QEMU) device_del id=d0\n{"execute": "device_del", "arguments": {"id": "d0"}}\n{"return": {}}\n' +
        '(QEMU) stop\n{"execute": "stop", "arguments": {}}\n' +
        '{"error": {"class": "GenericError", "desc": "no"}}\n',
    ],
  ])('%s', (_, text) => {
    expect(read(text, { qemu: '7.2.22' }).format).toBe('qmp-shell');
    expect(said(text)).toEqual([
      'out device_del {"id":"d0"}',
      'in {}',
      'out stop {}',
      'in {"class":"GenericError","desc":"no"}',
    ]);
  });

  it('has words with spaces in quotes, which stay', () => {
    const text = `(QEMU) blockdev-add node-name=n0 file.filename='/tmp/a b' tag="c \\" d"\n{"return":{}}`;
    expect(said(text)[0]).toBe(
      `out blockdev-add {"node-name":"n0","file":{"filename":"'/tmp/a b'"},"tag":"\\"c \\\\\\" d\\""}`,
    );
  });

  it('has values as qmp-shell reads them', () => {
    const typed =
      '(QEMU) device_add driver=e1000 id=n.1 addr=0x2 rombar=0 multifunction=True a.b.c=-5 l=[1,2] __proto__=x\n{"return": {}}';
    expect(said(typed)[0]).toBe(
      'out device_add {"driver":"e1000","id":"n.1","addr":"0x2","rombar":0,"multifunction":true,' +
        '"a":{"b":{"c":-5}},"l":[1,2],"__proto__":"x"}',
    );
  });

  it('gets the greeting and the negotiation that it leaves out, and says so', () => {
    const { added, transcript } = read('{"execute":"stop","return":{}}', { qemu: '10.0.13' });
    expect(added).toEqual(['greeting', 'qmp_capabilities']);
    expect(transcript.entries[0]?.msg).toMatchObject({
      QMP: { version: { qemu: { major: 10, minor: 0, micro: 13 } } },
    });
    expect(() => read('{"execute":"stop","return":{}}')).toThrow(/version of QEMU/);
  });
});

describe('what libvirt writes', () => {
  const commands = [
    '{"execute":"qmp_capabilities","id":"libvirt-1"}',
    '{"execute":"query-version","id":"libvirt-2"}',
  ];
  const replies = [
    '{\n  "return": {\n  },\n  "id": "libvirt-1"\n}',
    '{\n  "return": {\n    "qemu": {\n      "micro": 0,\n      "minor": 2,\n      "major": 4\n    },\n    "package": "v4.2.0"\n  },\n  "id": "libvirt-2"\n}',
  ];

  it('as documents with blank lines between: the version comes from query-version', () => {
    const text = [commands[0], replies[0], commands[1], replies[1]].join('\n\n');
    const { format, added, transcript } = read(text);
    expect({ format, added }).toEqual({ format: 'libvirt-replies', added: ['greeting'] });
    expect(transcript.header.qemu).toBe('4.2.0');
    expect(transcript.entries).toHaveLength(5);
  });

  it('as replies alone, greeting first, with the commands beside it', () => {
    const text = [GREETING, ...replies].join('\n\n');
    const { added, transcript } = read(text, { commands: commands.join('\n') });
    expect(added).toEqual([]);
    expect(transcript.entries.map(({ dir }) => dir).join(' ')).toBe('in out in out in');
    expect(() => read(text)).toThrow(/^a\.log, line 3: replies without commands; .*--commands/);
    expect(() => read(text, { commands: commands[0] })).toThrow(/2 replies, and --commands has 1/);
  });

  it('as replies alone in the file that the tests of the command line use', () => {
    const path = join(import.meta.dirname, 'logs/replies-alone.replies');
    const { transcript } = read(readFileSync(path, 'utf8'), { commands: commands.join('') });
    expect(transcript.header.qemu).toBe('2.5.0');
  });

  it('as the debug log of its daemon, where most of it is about something else', () => {
    const head = (line: number, source: string) =>
      `2022-03-07 10:41:00.${900 + line}+0000: 132544: info : ${source}`;
    const text = [
      `${head(0, 'qemuMonitorJSONIOProcessLine:220 : Line [')}${GREETING}]`,
      `${head(1, 'qemuMonitorSend:995 : QEMU_MONITOR_SEND_MSG: mon=0x7f msg=')}${commands[0]}\r`,
      ' fd=-1',
      `${head(2, 'qemuMonitorIOWrite:452 : QEMU_MONITOR_IO_WRITE: mon=0x7f buf=')}${commands[0]}\r`,
      ' len=93 ret=93 errno=0',
      `${head(3, 'qemuMonitorJSONIOProcessLine:220 : Line [')}{"return": {}, "id": "libvirt-1"}]`,
      `${head(4, 'qemuMonitorJSONIOProcessLine:240 : QEMU_MONITOR_RECV_REPLY: mon=0x7f reply=')}{"return": {}, "id": "libvirt-1"}`,
      `${head(9, 'qemuMonitorJSONIOProcessLine:235 : QEMU_MONITOR_RECV_EVENT: mon=0x7f event=')}{"event": "STOP"}`,
    ].join('\n');
    const { format, transcript } = read(text);
    expect(format).toBe('libvirt-log');
    expect(transcript.entries.map(({ t, dir }) => `${t} ${dir}`)).toEqual([
      '0 in',
      '1 out',
      '4 in',
      '9 in',
    ]);
    expect(() => read(text.replace('RECV_EVENT: mon=0x7f', 'RECV_EVENT: mon=0x80'))).toThrow(
      /line 8: a second monitor, 0x80/,
    );
  });
});

describe('a log that cannot be read is refused by its line', () => {
  it.each<[string, string, RegExp, LogFormat?]>([
    ['nothing', '', /line 1: there is no QMP message/],
    ['words', 'hello\nworld\n', /line 1: there is no QMP message/],
    ['a transcript', '{"qmplug":1}\n', /line 1: it is a transcript already/],
    ['half a message', '-> {"execute":"stop"}\n<- {"return": {\n', /line 2: the JSON .* no end/],
    ['no JSON', "-> {'execute': 'stop'}\n", /line 1: what begins here is not JSON/],
    [
      'something else in JSON',
      '-> {"execute":"stop"}\n<- {"hello": 1}',
      /line 2: neither a command/,
    ],
    ['a line between', '-> {"execute":"stop"}\nhm\n<- {"return":{}}', /line 2: no message: "hm"/],
    [
      'one direction missing',
      '-> {"execute":"stop"}\n{"return":{}}',
      /line 2: .*, and line 1 has one/,
    ],
    ['no direction', 'x {"execute":"stop"}\n', /line 1: the message has no direction/],
    [
      'a reply too many',
      '-> {"execute":"stop"}\n<- {"return":{}}\n<- {"return":{}}',
      /line 3: a reply without/,
    ],
    [
      'a reply missing',
      '-> {"execute":"stop","id":1}\n-> {"execute":"cont","id":2}\n<- {"return":{},"id":2}',
      /line 3: QEMU answers in order/,
    ],
    [
      'another format than the one named',
      '{"execute":"stop"}\n',
      /line 1: .* no direction/,
      'lines',
    ],
    [
      'a prompt with a stray word',
      '(QEMU) stop now\n{"return":{}}',
      /line 1: now is not NAME=VALUE/,
    ],
  ])('%s', (_, text, message, format) => {
    const options = { source: 'a.log', scenario: 'a', qemu: '7.2.22', format };
    expect(() => importLog(text, options)).toThrow(message);
    expect(() => importLog(text, options)).toThrow(
      expect.objectContaining({ code: 'BAD_TRANSCRIPT' }),
    );
  });
});
