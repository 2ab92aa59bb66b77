import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

/** What is loaded only by who asks for it: a WebSocket address, descriptors for QEMU. */
const ON_DEMAND = new Set(['ws', 'koffi']);

/** What a module loads when it runs; what is only there for types is not. */
function importsOf(path: string): readonly string[] {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly !== true) {
      found.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    if (ts.isExportDeclaration(node) && !node.isTypeOnly && node.moduleSpecifier !== undefined) {
      found.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    const isDynamic =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
    const [first] = isDynamic ? node.arguments : [];
    if (first !== undefined && ts.isStringLiteral(first) && !ON_DEMAND.has(first.text)) {
      found.push(first.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Packages and folders of `src` that an entry loads, directly or not. */
function reach(entry: string): { readonly packages: Set<string>; readonly folders: Set<string> } {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const waiting = [join(SRC, entry)];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const specifier of importsOf(path)) {
      if (specifier.startsWith('node:')) continue;
      if (!specifier.startsWith('.')) packages.add(specifier);
      else waiting.push(join(dirname(path), specifier.replace(/\.js$/, '.ts')));
    }
  }
  const folders = [...seen].map((path) => path.slice(SRC.length + 1).split('/'));
  return {
    packages,
    folders: new Set(folders.flatMap(([folder = '', file]) => (file === undefined ? [] : folder))),
  };
}

it('the library loads one package, and nothing of the command line or the daemon', () => {
  const { packages, folders } = reach('index.ts');
  expect([...packages]).toEqual(['p-queue']);
  expect([...folders]).toContain('hotplug');
  for (const folder of ['cli', 'daemon', 'simulator', 'transcript']) {
    expect(folders.has(folder), folder).toBe(false);
  }
});

it.each(['qmp/index.ts', 'testing.ts'])('%s loads no package at all', (entry) => {
  expect([...reach(entry).packages]).toEqual([]);
});

it('would notice the packages of the command line', () => {
  expect(existsSync(join(SRC, 'cli/main.ts'))).toBe(true);
  expect([...reach('cli/main.ts').packages]).toContain('commander');
});
