import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { codeBlocks, readDocuments, ROOT } from './documents.js';

/** TypeScript of all documents, each block as a module of its own beside the sources. */
function snippets(): ReadonlyMap<string, string> {
  const named = readDocuments().flatMap((document) =>
    codeBlocks(document, ['ts']).map((code, index): [string, string] => {
      const name = `${document.path.replace(/\W/g, '-')}-${index}.ts`;
      return [join(ROOT, 'test/docs', name), `${code}\nexport {};\n`];
    }),
  );
  return new Map(named);
}

/** What the compiler says of the snippets, with the package's names leading to the sources. */
function compile(files: ReadonlyMap<string, string>): readonly string[] {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) =>
    ts.sys.readFile(path),
  ) as {
    config: { compilerOptions: object };
  };
  const { options } = ts.parseJsonConfigFileContent(
    { compilerOptions: config.compilerOptions, files: [] },
    ts.sys,
    ROOT,
  );
  const source = (path: string) => [join(ROOT, 'src', path)];
  const all: ts.CompilerOptions = {
    ...options,
    noEmit: true,
    skipLibCheck: true,
    paths: {
      qmplug: source('index.ts'),
      'qmplug/qmp': source('qmp/index.ts'),
      'qmplug/testing': source('testing.ts'),
    },
  };
  const real = ts.createCompilerHost(all);
  const host: ts.CompilerHost = {
    ...real,
    fileExists: (path) => files.has(path) || real.fileExists(path),
    readFile: (path) => files.get(path) ?? real.readFile(path),
    getSourceFile: (path, language, ...rest) => {
      const text = files.get(path);
      return text === undefined
        ? real.getSourceFile(path, language, ...rest)
        : ts.createSourceFile(path, text, language);
    },
  };
  const program = ts.createProgram([...files.keys()], all, host);
  // Only what was asked for: to check all of src takes many times as long.
  return [...files.keys()]
    .flatMap((path) => {
      const file = program.getSourceFile(path);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    })
    .map(({ file, start, messageText }) => {
      const { line = 0 } = file?.getLineAndCharacterOfPosition(start ?? 0) ?? {};
      const text = ts.flattenDiagnosticMessageText(messageText, '\n');
      return `${file?.fileName.slice(ROOT.length + 1)}:${line + 1}: ${text}`;
    });
}

it('compiles every snippet against the library', () => {
  const files = snippets();
  expect(files.size).toBeGreaterThan(5);
  // One that uses what is not there shows that it would be noticed.
  const wrong = join(ROOT, 'test/docs/wrong.ts');
  const found = compile(new Map([...files, [wrong, `import { nothing } from 'qmplug';\n`]]));
  expect(found.filter((line) => !line.startsWith('test/docs/wrong.ts'))).toEqual([]);
  expect(found.join()).toContain("no exported member 'nothing'");
});
