import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTranscript, parseTranscript } from '../../src/transcript/index.js';
import { anySession, GREETING, HEADER, into, out, transcript } from './sessions.js';

const REQUEST = { execute: 'device_del', arguments: { id: 'd0' }, id: 7 };

describe('parseTranscript', () => {
  it('undoes formatTranscript, large integers included', () => {
    fc.assert(
      fc.property(anySession, (session) => {
        const text = formatTranscript(session);
        expect(formatTranscript(parseTranscript(text))).toBe(text);
      }),
    );
    const reserve = into(0, { return: 18446744073709551615n, id: 1 });
    expect(formatTranscript(transcript(reserve))).toContain('"return":18446744073709551615');
    expect(parseTranscript(formatTranscript(transcript(reserve))).entries[0]?.msg.return).toBe(
      18446744073709551615n,
    );
  });

  it('keeps which command an open file went along with', () => {
    const entry = { ...out(0, { execute: 'getfd', id: 1 }), fd: true } as const;
    const text = formatTranscript(transcript(entry));
    expect(text).toContain('{"t":0,"dir":"out","fd":true,"msg":');
    expect(parseTranscript(text).entries).toEqual([entry]);
  });

  it('reads the documented example', () => {
    const text = [
      '{"qmplug":1,"qemu":"7.2.22","machine":"pseries","scenario":"unplug-refused","origin":"synthetic"}',
      '{"t":0,"dir":"out","msg":{"execute":"device_del","arguments":{"id":"vfio_device_17_0"},"id":7}}',
      '{"t":2,"dir":"in","msg":{"return":{},"id":7}}',
      '{"t":31,"dir":"in","msg":{"event":"DEVICE_UNPLUG_GUEST_ERROR","data":{"device":"vfio_device_17_0"}}}',
    ].join('\n');
    const { header, entries } = parseTranscript(`${text}\n`);
    expect(header.machine).toBe('pseries');
    expect(entries.map((entry) => [entry.t, entry.dir])).toEqual([
      [0, 'out'],
      [2, 'in'],
      [31, 'in'],
    ]);
  });

  it('refuses a file that was cut anywhere inside a line, by that line', () => {
    const whole = formatTranscript(transcript(into(0, GREETING), out(1, REQUEST)));
    const lineEnds = [...whole.matchAll(/\n/g)].map((match) => match.index);
    for (let length = 1; length < whole.length; length += 1) {
      if (lineEnds.includes(length) || lineEnds.includes(length - 1)) continue;
      const line = lineEnds.filter((end) => end < length).length + 1;
      expect(() => parseTranscript(whole.slice(0, length), 'cut.jsonl')).toThrow(
        expect.objectContaining({
          code: 'BAD_TRANSCRIPT',
          message: `cut.jsonl, line ${line}: the file is cut short here`,
          details: { source: 'cut.jsonl', line },
        }),
      );
    }
  });

  const header = JSON.stringify(HEADER);
  it.each([
    ['', /line 1: the file is empty/],
    ['{}\n', /line 1: no transcript header/],
    ['[]\n', /line 1: no transcript header/],
    [header.replace(':1', ':2') + '\n', /line 1: made by another version/],
    [header.replace('synthetic', 'dreamt') + '\n', /line 1: origin/],
    [header.replace('"7.2.22"', '7') + '\n', /line 1: qemu, machine and scenario/],
    [`${header}\n\n`, /line 2: Not JSON/],
    [`${header}\n{"t":0,"dir":"in"}\n`, /line 2: msg is not an object/],
    [`${header}\n{"t":0,"dir":"in","msg":{"returns":{}}}\n`, /line 2: msg is neither/],
    [`${header}\n{"t":0,"dir":"out","msg":{"return":{}}}\n`, /line 2: msg names no command/],
    [`${header}\n{"t":0,"dir":"up","msg":{"return":{}}}\n`, /line 2: dir must be/],
    [`${header}\n{"t":0,"dir":"in","fd":true,"msg":{"return":{}}}\n`, /line 2: fd can only be/],
    [`${header}\n{"t":0,"dir":"out","fd":3,"msg":{"execute":"getfd"}}\n`, /line 2: fd can only be/],
    [`${header}\n{"t":-1,"dir":"in","msg":{"return":{}}}\n`, /line 2: t must be/],
    [`${header}\n{"t":"0","dir":"in","msg":{"return":{}}}\n`, /line 2: t must be/],
    [`${header}\n{"t":0,"dir":"in","msg":{"return":{}},"x":1}\n`, /unknown member "x"/],
    [
      `${header}\n{"t":5,"dir":"in","msg":{"return":{}}}\n{"t":4,"dir":"in","msg":{"return":{}}}\n`,
      /line 3: t goes back from 5 to 4/,
    ],
  ])('refuses %j', (text, message) => {
    expect(() => parseTranscript(text)).toThrow(message);
    expect(() => parseTranscript(text)).toThrow(
      expect.objectContaining({ code: 'BAD_TRANSCRIPT' }),
    );
  });
});
