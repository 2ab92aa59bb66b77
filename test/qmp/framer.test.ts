import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonFramer, type FramerLimits } from '../../src/qmp/framer.js';

const refusal = (code: string): unknown => expect.objectContaining({ code });

function frames(chunks: Iterable<Uint8Array>, limits?: FramerLimits): string[] {
  const messages: string[] = [];
  const framer = new JsonFramer((text) => messages.push(text), limits);
  for (const chunk of chunks) framer.push(chunk);
  expect(framer.pendingBytes).toBe(0);
  return messages;
}

/** Objects as QEMU might send them, plain or pretty, with every kind of awkward text inside. */
const anyMessage = fc
  .tuple(
    fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' })),
    fc.constantFrom(0, 4),
  )
  .map(([value, indent]) => JSON.stringify(value, null, indent));

const anyStream = fc.array(fc.tuple(anyMessage, fc.constantFrom('', '\r\n', '\n', ' \t\r\n\r\n')), {
  maxLength: 5,
});

function* oneByOne(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) yield bytes.subarray(at, at + 1);
}

describe('JsonFramer', () => {
  it('finds the same messages however the stream is cut', () => {
    fc.assert(
      fc.property(anyStream, fc.array(fc.nat(400), { maxLength: 8 }), (stream, cuts) => {
        const messages = stream.map(([message]) => message);
        const bytes = Buffer.from(stream.flat().join(''));
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(frames([bytes])).toEqual(messages);
        expect(frames(chunks)).toEqual(messages);
        expect(frames(oneByOne(bytes))).toEqual(messages);
      }),
    );
  });

  it('does not care where a message is split, not even inside a character or an escape', () => {
    const message = '{"a": "}\\"{\\\\", "ü€\u{1f600}": ["]", {"n": -1}], "u": "\\u001b"}';
    const bytes = Buffer.from(`${message}\r\n${message}`);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(frames([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual([message, message]);
    }
  });

  it('keeps its own copy of a partial message', () => {
    const messages: string[] = [];
    const framer = new JsonFramer((text) => messages.push(text));
    const reused = Buffer.from('{"a":');
    framer.push(reused);
    reused.fill(0);
    framer.push(Buffer.from('1}'));
    expect(messages).toEqual(['{"a":1}']);
  });

  it('takes a message of 16 MiB and refuses one more byte', () => {
    const limit = 16 * 1024 * 1024;
    const message = (byteCount: number) => Buffer.from(`{"a":"${'x'.repeat(byteCount - 8)}"}`);
    const chunked = (bytes: Buffer) =>
      Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, index) =>
        bytes.subarray(index * 65_536, (index + 1) * 65_536),
      );
    expect(frames(chunked(message(limit)))[0]).toHaveLength(limit);
    expect(() => frames(chunked(message(limit + 1)))).toThrow(refusal('MESSAGE_TOO_LARGE'));
    expect(() => frames([message(limit + 1)])).toThrow(refusal('MESSAGE_TOO_LARGE'));
  });

  it('copies each byte a few times only, when they come one by one', () => {
    // Copying all that is held for each byte would move 500 GB here.
    const bytes = Buffer.from(`{"a":"${'x'.repeat(1024 * 1024)}"}`);
    expect(frames(oneByOne(bytes))[0]).toHaveLength(bytes.length);
  });

  it('delivers what came before a broken byte, then refuses, and stays broken', () => {
    const messages: string[] = [];
    const framer = new JsonFramer((text) => messages.push(text));
    expect(() => {
      framer.push(Buffer.from('{"a":1}\r\nx{"b":2}'));
    }).toThrow(refusal('PROTOCOL'));
    expect(messages).toEqual(['{"a":1}']);
    expect(() => {
      framer.push(Buffer.from('{"c":3}'));
    }).toThrow(refusal('PROTOCOL'));
    expect(messages).toHaveLength(1);
  });

  it.each(['x', '[1]', '"text"', '1', ',', '}', '\u0000', 'HTTP/1.1 400 Bad Request'])(
    'refuses %j between messages',
    (text) => {
      expect(() => frames([Buffer.from(text)])).toThrow(refusal('PROTOCOL'));
      expect(() => frames([Buffer.from(`{}${text}`)])).toThrow(refusal('PROTOCOL'));
    },
  );

  it('refuses bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ]);
    expect(() => frames([bytes])).toThrow(refusal('PROTOCOL'));
    expect(() => frames(oneByOne(bytes))).toThrow(refusal('PROTOCOL'));
  });

  it('limits the depth, before the message is complete', () => {
    const nested = (depth: number) => Buffer.from('{"a":'.repeat(depth));
    const framer = new JsonFramer(() => undefined);
    framer.push(nested(1024));
    expect(() => {
      framer.push(nested(1));
    }).toThrow(refusal('PROTOCOL'));
    expect(framer.pendingBytes).toBe(0);
  });

  it('limits the number of values: a few bytes each can cost many', () => {
    const list = Buffer.from(`{"a":[${'{},'.repeat(1_000_000)}{}]}`);
    expect(() => frames([list])).toThrow(refusal('MESSAGE_TOO_LARGE'));
    expect(frames([list], { maxValueCount: 3_000_000 })).toHaveLength(1);
  });

  it('counts values per message', () => {
    const message = Buffer.from('{"a":[1,2,3]}');
    expect(frames(Array<Buffer>(50).fill(message), { maxValueCount: 10 })).toHaveLength(50);
  });
});
