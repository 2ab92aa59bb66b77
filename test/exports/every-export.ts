import { readFileSync } from 'node:fs';

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
}

/** What package.json lets others import, by subpath, as the sources have it. */
export async function everyExport(): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { exports } = JSON.parse(text) as Manifest;
  const modules = Object.entries(exports).flatMap(([subpath, target]) =>
    typeof target === 'string' ? [] : [[subpath, target.default] as const],
  );
  return new Map(
    await Promise.all(
      modules.map(async ([subpath, file]) => {
        const source = file.replace('./dist/', '../../src/').replace(/\.js$/, '.ts');
        return [subpath, (await import(source)) as Record<string, unknown>] as const;
      }),
    ),
  );
}

/** Names of functions and of what is called on instances: `Vm.attach`. Errors are made by us alone. */
export function callablesOf(exported: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(exported).flatMap(([name, value]) => {
    if (typeof value !== 'function') return [];
    const made: object = value;
    if (!isClass(made)) return [name];
    const { prototype } = made;
    if (prototype instanceof Error) return [];
    const methods = Object.getOwnPropertyNames(prototype).filter(
      (method) => method !== 'constructor' && isMethod(prototype, method),
    );
    return methods.map((method) => `${name}.${method}`);
  });
}

function isClass(value: object): value is { readonly prototype: object } {
  return /^class\b/.test(Function.prototype.toString.call(value));
}

function isMethod(prototype: object, name: string): boolean {
  return typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function';
}
