import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface Difference {
  readonly what: string;
  readonly why: string;
  /** `<file>: <function>` of the code that passes over it, further places after a semicolon. */
  readonly handledIn: string;
}

const read = (file: string) => readFileSync(join(import.meta.dirname, file), 'utf8');
const LIST = JSON.parse(read('allowed-differences.json')) as readonly Difference[];

it.each(LIST)('$what: allowed for a reason, where the list says', ({ why, handledIn }) => {
  expect(why.length).toBeGreaterThan(10);
  const [, file = '', name] = /^([\w-]+(?:\.test)?\.ts)(?:: (\w+))?/.exec(handledIn) ?? [];
  const folder = file.endsWith('.test.ts') ? '../qemu/' : '';
  expect(read(`${folder}${file}`)).toContain(name ?? 'description');
});
