import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeControl, excerpt, readable } from '../src/text.js';

describe('escapeControl', () => {
  it.each([
    ['\u001b[31mred', '\\x1b[31mred'],
    ['two\r\nlines', 'two\\x0d\\x0alines'],
    ['right\u202eleft', 'right\\u202eleft'],
    ['half \ud800 pair', 'half \\ud800 pair'],
    ['half \udc00 pair', 'half \\udc00 pair'],
    ['whole \u{1f600} pair', 'whole \u{1f600} pair'],
    ['Käse \\ x', 'Käse \\ x'],
  ])('turns %j into %j', (text, escaped) => {
    expect(escapeControl(text)).toBe(escaped);
  });

  it('leaves nothing that acts on a terminal, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeControl(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
      }),
    );
  });
});

describe('excerpt', () => {
  it('says how much it left out', () => {
    expect(excerpt('x'.repeat(12), 10)).toBe(`${'x'.repeat(10)}... (2 more)`);
    expect(excerpt('x'.repeat(10), 10)).toBe('x'.repeat(10));
  });
});

describe('readable', () => {
  it('cuts long words and nothing else', () => {
    const long = 'x'.repeat(5_000);
    expect(readable(`${long}: no such file; see ${long}`)).toBe(
      `${'x'.repeat(200)}...(4801 more) no such file; see ${'x'.repeat(200)}...(4800 more)`,
    );
    const sentence = 'a sentence of any length '.repeat(100);
    expect(readable(`${sentence}\n`)).toBe(`${sentence}\\x0a`);
    expect(readable('x'.repeat(300))).toBe('x'.repeat(300));
  });
});
