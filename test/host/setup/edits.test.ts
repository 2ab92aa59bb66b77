import fc from 'fast-check';
import { expect, it } from 'vitest';
import { applyEdit, revertEdit, type FileEdit } from '../../../src/host/setup/edits/index.js';

const anyText = fc
  .array(fc.stringMatching(/^[ -~]{0,20}$/), { maxLength: 5 })
  .chain((lines) => fc.constantFrom(lines.join('\n'), `${lines.join('\n')}\n`));

it('puts a block in once, and takes it out of any text byte for byte', () => {
  const edit: FileEdit = { kind: 'block', lines: ['vfio', 'vfio_pci'] };
  fc.assert(
    fc.property(anyText, (text) => {
      const once = applyEdit(text, edit);
      expect(applyEdit(once, edit)).toBe(once);
      expect(revertEdit(once, edit)).toBe(text);
    }),
  );
});

it('takes a block out from between what others have added since', () => {
  const edit: FileEdit = { kind: 'block', lines: ['vfio'] };
  expect(revertEdit(`# mine\n${applyEdit('a\n', edit)}b\n`, edit)).toBe('# mine\na\nb\n');
});

it.each([
  ['A="quiet"\n', 'A="quiet iommu=pt"\n'],
  ["A='quiet' # why\n", 'A="quiet iommu=pt" # why\n'],
  ['A=quiet', 'A="quiet iommu=pt"'],
  ['', 'A="iommu=pt"\n'],
  ['A=""\nA="last"\n', 'A=""\nA="last iommu=pt"\n'],
  ['A="x iommu=pt"\n', 'A="x iommu=pt"\n'],
])('adds a word to the variable in %j', (text, expected) => {
  const edit: FileEdit = {
    kind: 'shell-variable',
    variable: 'A',
    changes: [{ op: 'add', text: 'iommu=pt' }],
  };
  expect(applyEdit(text, edit)).toBe(expected);
});

it.each([
  ['root=/dev/sda1 -- 3\n', 'root=/dev/sda1 iommu=pt -- 3\n'],
  ['# by hand\nroot=/dev/sda1 ro\n', '# by hand\nroot=/dev/sda1 ro iommu=pt\n'],
  ['root=/dev/sda1\nro\n# why: x\n', 'root=/dev/sda1 ro iommu=pt\n# why: x\n'],
  ['# nothing yet\n', '# nothing yet\niommu=pt\n'],
  ['root=/dev/sda1\nro', 'root=/dev/sda1 ro iommu=pt'],
])('adds a word to the command line %j and loses nothing of it', (text, expected) => {
  const edit: FileEdit = { kind: 'words', changes: [{ op: 'add', text: 'iommu=pt' }] };
  expect(applyEdit(text, edit)).toBe(expected);
  expect(applyEdit(expected, edit)).toBe(expected);
});

it("keeps init's words behind the others in a variable", () => {
  const changes = [{ op: 'add', text: 'iommu=pt' }] as const;
  const edit: FileEdit = { kind: 'shell-variable', variable: 'A', changes };
  expect(applyEdit('A="quiet -- 3"\n', edit)).toBe('A="quiet iommu=pt -- 3"\n');
});

it('refuses an assignment that only a shell can read', () => {
  const edit: FileEdit = {
    kind: 'shell-variable',
    variable: 'A',
    changes: [{ op: 'add', text: 'x' }],
  };
  expect(() => applyEdit('A="$(cat /etc/words)"\n', edit)).toThrow('one plain string');
});
