import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Root of the repository. */
export const ROOT = join(import.meta.dirname, '../..');

/** One document, by its path below the root. */
export interface Document {
  readonly path: string;
  readonly text: string;
}

/** What people read, in the order of the paths. */
export function readDocuments(): readonly Document[] {
  const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const paths = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...pages.map((p) => `docs/${p}`)];
  return paths.sort().map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

/** Fenced code of a document in the given languages. */
export function codeBlocks({ text }: Document, languages: readonly string[]): readonly string[] {
  return [...text.matchAll(/^```(\w*)[^\n]*\n(.*?)^```$/gms)].flatMap(([, language, code = '']) =>
    languages.includes(language ?? '') ? [code] : [],
  );
}

/** Code between backticks in running text. */
export function codeSpans({ text }: Document): readonly string[] {
  const prose = text.replace(/^```.*?^```$/gms, '');
  return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
}

/** Anchor of a heading as GitHub makes it. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

/** Anchors of a document's headings. */
export function anchorsOf({ text }: Document): readonly string[] {
  const prose = text.replace(/^```.*?^```$/gms, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
}
