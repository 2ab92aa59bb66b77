import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinCommand, splitCommand } from '../../src/qmp/command-words.js';

describe('splitCommand', () => {
  it('undoes joinCommand for every list of words', () => {
    const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'));
    const words = fc
      .tuple(word.filter((text) => text !== ''))
      .chain(([first]) => fc.array(word).map((rest) => [first, ...rest]));
    fc.assert(
      fc.property(words, (list) => {
        expect(splitCommand(joinCommand(list))).toEqual(list);
      }),
    );
  });

  it.each([
    ['ssh host socat - UNIX:/run/vm.sock', ['ssh', 'host', 'socat', '-', 'UNIX:/run/vm.sock']],
    ["  sh  -c 'a | b'  ", ['sh', '-c', 'a | b']],
    ['a "b \\" \\$c" d\\ e', ['a', 'b " $c', 'd e']],
    ['a "\\n"', ['a', '\\n']],
    ['a \'\' ""', ['a', '', '']],
    ['a\'b\'"c"d', ['abcd']],
  ])('splits %j', (text, words) => {
    expect(splitCommand(text)).toEqual(words);
  });

  it.each([
    '',
    '   ',
    "''",
    'a | b',
    'a; b',
    'a > f',
    '$HOME/x',
    'a `b`',
    'a *',
    "a 'b",
    'a "b',
    'a\\',
    'a\0b',
  ])('refuses %j rather than guess', (text) => {
    expect(() => splitCommand(text)).toThrow(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });
});
