import fc from 'fast-check';
import { expect, it } from 'vitest';
import { changeWords, invertChange, isChanged } from '../../../src/host/setup/argument-changes.js';
import {
  effectiveArgument,
  formatArgument,
  listElements,
  parseArgument,
  parseCommandLine,
} from '../../../src/host/setup/command-line.js';

const key = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,8}$/);
const value = fc.stringMatching(/^[a-z0-9:,. ]{0,10}$/);

it('reads back what it writes, spaces and all', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.option(value, { nil: undefined }))), (words) => {
      const line = words.map(([name, text]) => formatArgument(name, text)).join(' ');
      expect(parseCommandLine(line).map((word) => word.value)).toEqual(
        words.map(([, text]) => text),
      );
    }),
  );
});

it('takes back every change of a line that did not have it', () => {
  const word = fc.tuple(key, value).map(([name, text]) => formatArgument(name, text));
  fc.assert(
    fc.property(fc.uniqueArray(word), word, (line, text) => {
      const change = { op: 'add', text } as const;
      fc.pre(!isChanged(line.map(parseArgument), change));
      expect(changeWords(changeWords(line, [change]), [invertChange(change)])).toEqual(line);
    }),
  );
});

it('reads quotes on either side as the kernel does', () => {
  const [outer, inner, flag] = parseCommandLine('"dyndbg=file a +p" dyndbg="file a +p" quiet');
  expect(outer).toMatchObject({ key: 'dyndbg', value: 'file a +p' });
  expect(inner).toMatchObject({ key: 'dyndbg', value: 'file a +p' });
  expect(flag).toMatchObject({ key: 'quiet', value: undefined });
});

it('takes - for _, the last for a scalar, every element of a list, and nothing behind --', () => {
  const line = parseCommandLine(
    'vfio-pci.ids=1:2,3:4 vfio_pci.ids=3:4,5:6 iommu=off iommu=pt -- iommu=soft',
  );
  expect(listElements(line, 'vfio_pci.ids')).toEqual(['1:2', '3:4', '5:6']);
  expect(effectiveArgument(line, 'iommu')?.value).toBe('pt');
});
