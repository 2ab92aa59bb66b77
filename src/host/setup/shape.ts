import { InputError } from '../../errors.js';
import { isJsonObject, type JsonValue } from '../../json.js';

/** Reads one value of the document; `path` is where it stands, for the message. */
export type Shape<T> = (value: JsonValue, path: string) => T;

type Shaped<S> = { readonly [K in keyof S]?: S[K] extends Shape<infer T> ? T : never };

export function bad(path: string, expected: string, value?: JsonValue): InputError {
  const got =
    value === undefined ? '' : `, got ${typeof value === 'bigint' ? value : JSON.stringify(value)}`;
  return new InputError(
    'BAD_DESIRED_STATE',
    `${path === '' ? 'the document' : path}: expected ${expected}${got}`,
    {
      remedy: `set ${path === '' ? 'the document' : path} to ${expected}`,
      details: { path },
    },
  );
}

/** An object with some of these members and no others. */
export function object<S extends Readonly<Record<string, Shape<unknown>>>>(
  members: S,
): Shape<Shaped<S>> {
  return (value, path) => {
    if (!isJsonObject(value)) throw bad(path, 'an object', value);
    const shaped = Object.entries(value).flatMap(([name, member]) => {
      const at = path === '' ? name : `${path}.${name}`;
      const shape = Object.hasOwn(members, name) ? members[name] : undefined;
      if (shape === undefined) throw unknownKey(at, Object.keys(members));
      return member === undefined ? [] : [[name, shape(member, at)] as const];
    });
    // Each member went through the shape of its name.
    return Object.fromEntries(shaped) as Shaped<S>;
  };
}

function unknownKey(path: string, known: readonly string[]): InputError {
  return new InputError('BAD_DESIRED_STATE', `${path}: there is no such key`, {
    remedy: `remove it, or use one of: ${known.join(', ')}`,
    details: { path },
  });
}

export function array<T>(item: Shape<T>): Shape<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw bad(path, 'a list', value);
    return (value as readonly JsonValue[]).map((each, index) => item(each, `${path}[${index}]`));
  };
}

/** An object whose names are free within `name`. */
export function record<T>(name: RegExp, item: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, path) => {
    if (!isJsonObject(value)) throw bad(path, 'an object', value);
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, member]) => {
        if (!name.test(key)) throw bad(`${path}.${key}`, `a name like ${name.source}`);
        return member === undefined ? [] : [[key, item(member, `${path}.${key}`)]];
      }),
    );
  };
}

export function oneOf<const T extends string>(...choices: readonly T[]): Shape<T> {
  return (value, path) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined)
      throw bad(path, choices.map((choice) => `"${choice}"`).join(' or '), value);
    return found;
  };
}

/** `true`, `false`, or `"keep"`, which says the same as leaving it out. */
export const booleanOrKeep: Shape<boolean | undefined> = (value, path) => {
  if (value === 'keep') return undefined;
  if (typeof value !== 'boolean') throw bad(path, 'true, false or "keep"', value);
  return value;
};

export const boolean: Shape<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw bad(path, 'true or false', value);
  return value;
};

export function whole(least: number, most: number): Shape<number> {
  return (value, path) => {
    if (!Number.isInteger(value) || typeof value !== 'number' || value < least || value > most) {
      throw bad(path, `a whole number from ${least} to ${most}`, value);
    }
    return value;
  };
}

export function text(pattern: RegExp, expected: string): Shape<string> {
  return (value, path) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw bad(path, expected, value);
    return value;
  };
}
