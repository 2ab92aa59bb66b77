import { isAbsolute } from 'node:path';
import {
  InputError,
  isDeviceId,
  isHoldOwner,
  isJsonObject,
  isMdevUuid,
  parseJson,
  parseSize,
  type DriverWish,
  type JsonObject,
  type JsonValue,
} from '../index.js';

/** Reads the text of one option; `flag` is what it was given as. */
export type ReadValue<T> = (text: string, flag: string) => T;

/** For an option that may be given once: a second value would silently win over the first. */
export function once<T>(flag: string, read: ReadValue<T>) {
  return (text: string, previous: T | undefined): T => {
    if (previous !== undefined) {
      throw new InputError('BAD_ARGUMENT', `${flag} is given twice`, { remedy: 'give it once' });
    }
    return read(text, flag);
  };
}

/** For an option that may be repeated; the values in order. */
export function each<T>(flag: string, read: ReadValue<T>) {
  return (text: string, previous: readonly T[] | undefined): readonly T[] => [
    ...(previous ?? []),
    read(text, flag),
  ];
}

export const text: ReadValue<string> = (value, flag) => {
  if (value === '') throw bad(flag, value, 'some text');
  return value;
};

/** A directory that is the same one from wherever the command is run. */
export const absolutePath: ReadValue<string> = (value, flag) => {
  if (!isAbsolute(value)) throw bad(flag, value, 'an absolute path');
  return value;
};

export function oneOf<T extends string>(...choices: readonly T[]): ReadValue<T> {
  return (value, flag) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw bad(flag, value, choices.join(' or '));
    return found;
  };
}

/** Which driver a device goes to a VM with. */
export const driverWish: ReadValue<DriverWish> = oneOf('auto', 'vfio-pci', 'keep');

export const DRIVER_ABOUT = 'auto, vfio-pci or keep: the driver it goes in with (default: auto)';

/** A UUID that is nobody else's business: an error does not repeat it. */
export const secretUuid: ReadValue<string> = (value, flag) => {
  if (isMdevUuid(value)) return value;
  throw new InputError('BAD_ARGUMENT', `${flag}: not a UUID`, {
    remedy: `give ${flag} a UUID, xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`,
  });
};

/** A whole number; whether it is in range is for whoever uses it. */
export const count: ReadValue<number> = (value, flag) => {
  if (!/^\d{1,10}$/.test(value)) throw bad(flag, value, 'a whole number');
  return Number(value);
};

/** Whole numbers with commas between them: `0,1`. */
export const counts: ReadValue<readonly number[]> = (value, flag) =>
  value.split(',').map((each) => count(each, flag));

/** A process id. */
export const pid: ReadValue<number> = (value, flag) => {
  const number = count(value, flag);
  if (number === 0) throw bad(flag, value, 'a process id');
  return number;
};

/** Longest deadline, a day: more is a slip of the keyboard. */
const MAX_SECONDS = 86_400;

/** Seconds, with a fraction if need be, as milliseconds. */
export const seconds: ReadValue<number> = (value, flag) => {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
  if (!(number <= MAX_SECONDS)) throw bad(flag, value, `seconds, at most ${MAX_SECONDS}`);
  return number * 1000;
};

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time with its unit, `90s`, `30m`, `1h`, `2d`, as milliseconds. */
export const duration: ReadValue<number> = (value, flag) => {
  const match = /^([1-9]\d{0,5})([smhd])$/.exec(value);
  if (!match) throw bad(flag, value, 'a time such as 90s, 30m, 1h or 2d');
  // The pattern has no other units.
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
};

/** A size with a binary suffix, `128G`, in bytes. */
export const size: ReadValue<bigint> = (value, flag) => {
  try {
    return parseSize(value);
  } catch {
    throw new InputError('BAD_SIZE', `${flag}: not a size: ${JSON.stringify(value)}`, {
      remedy: 'write whole bytes with a binary suffix, for example 128G or 2M',
    });
  }
};

/** An id for a device of the VM. */
export const deviceId: ReadValue<string> = (value, flag) => {
  if (isDeviceId(value)) return value;
  throw new InputError('BAD_ID', `${flag}: not an id: ${JSON.stringify(value)}`, {
    remedy: 'begin with a letter, go on with letters, digits, dots, dashes and underscores',
  });
};

/** Somebody that devices are set aside for. */
export const holdOwner: ReadValue<string> = (value, flag) => {
  if (isHoldOwner(value)) return value;
  throw new InputError(
    'BAD_ARGUMENT',
    `${flag}: not the name of an owner: ${JSON.stringify(value)}`,
    {
      remedy:
        'begin with a letter or digit, go on with letters, digits, dots, dashes and underscores',
    },
  );
};

/** A version of QEMU, `7.2.22`. */
export const version: ReadValue<string> = (value, flag) => {
  if (!/^\d{1,4}\.\d{1,4}(\.\d{1,4})?$/.test(value)) throw bad(flag, value, 'a version, 7.2.22');
  return value;
};

/** The name of a reason, as a refusal gives it. */
export const reason: ReadValue<string> = (value, flag) => {
  if (!/^[a-z][a-z0-9]*([.-][a-z0-9]+)*$/.test(value)) {
    throw bad(flag, value, 'a reason as the refusal names it, for example unknown-window');
  }
  return value;
};

/** A JSON object, or a list of them; integers beyond 2^53 are kept. */
export const jsonObjects: ReadValue<JsonObject | readonly JsonObject[]> = (value, flag) => {
  const remedy = 'for example \'{"driver":"pci-testdev"}\', or a list of the functions of one slot';
  let parsed;
  try {
    parsed = parseJson(value);
  } catch (cause) {
    throw new InputError('SYNTAX', `${flag}: not JSON: ${JSON.stringify(value)}`, {
      cause,
      remedy,
    });
  }
  if (isJsonObject(parsed)) return parsed;
  const list: readonly JsonValue[] = Array.isArray(parsed) ? parsed : [];
  const objects = list.filter((each) => isJsonObject(each));
  if (objects.length > 0 && objects.length === list.length) return objects;
  throw new InputError(
    'SYNTAX',
    `${flag}: neither a JSON object nor a list of them: ${JSON.stringify(value)}`,
    { remedy },
  );
};

function bad(flag: string, value: string, expected: string): InputError {
  return new InputError(
    'BAD_ARGUMENT',
    `${flag}: expected ${expected}, got ${JSON.stringify(value)}`,
    { remedy: `give ${flag} ${expected}` },
  );
}
