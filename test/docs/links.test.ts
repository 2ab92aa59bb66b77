import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { anchorsOf, readDocuments, ROOT } from './documents.js';

const documents = readDocuments();

describe.each(documents)('$path', (document) => {
  const links = [...document.text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);

  it('links to files and headings that exist', () => {
    const broken = links.filter((target) => {
      if (/^https?:/.test(target)) return false;
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? document.path : normalize(join(dirname(document.path), file));
      if (!existsSync(join(ROOT, path))) return true;
      if (anchor === undefined) return false;
      const there = documents.find((other) => other.path === path);
      return there === undefined || !anchorsOf(there).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('has lines that fit a terminal, tables and code apart', () => {
    const prose = document.text.replace(/^```.*?^```$/gms, '').split('\n');
    const long = prose.filter((line) => line.length > 110 && !line.startsWith('|'));
    expect(long).toEqual([]);
  });
});

it('reaches every page from the README', () => {
  const readme = documents.find(({ path }) => path === 'README.md')?.text ?? '';
  const missing = documents
    .map(({ path }) => path)
    .filter((path) => path !== 'README.md' && !readme.includes(`](${path})`));
  expect(missing).toEqual([]);
});
