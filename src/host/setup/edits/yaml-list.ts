import { InputError } from '../../../errors.js';

/** Adds entries to `key: a,b,c` at the top level of a YAML file: a key may be there only once. */
export interface YamlListEdit {
  readonly kind: 'yaml-list';
  readonly key: string;
  readonly entries: readonly string[];
}

interface Found {
  readonly start: number;
  readonly end: number;
  readonly entries: readonly string[];
}

/** @throws {InputError} where the value is no plain text on the key's own line. */
function find(text: string, key: string): Found | undefined {
  const line = new RegExp(`^${key}:[ \\t]*([^\\n#]*?)[ \\t]*(?:#.*)?$`, 'm').exec(text);
  if (line === null) return undefined;
  const value = line[1] ?? '';
  const inner = /^(?:"([\w ,-]*)"|'([\w ,-]*)'|([\w ,-]*))$/.exec(value);
  const next = text.slice(line.index + line[0].length + 1);
  if (inner === null || (value === '' && /^[ \t]+\S|^- /.test(next))) {
    throw new InputError('BAD_ARGUMENT', `${key} is not one line of names and commas`, {
      remedy: `write it as ${key}: a,b`,
    });
  }
  const start = line.index + line[0].indexOf(value, key.length + 1);
  const names = (inner[1] ?? inner[2] ?? inner[3] ?? '').split(/[ ,]+/);
  return { start, end: start + value.length, entries: names.filter((name) => name !== '') };
}

export function applyYamlList(text: string, { key, entries }: YamlListEdit): string {
  const found = find(text, key);
  if (found === undefined) {
    const glue = text === '' || text.endsWith('\n') ? '' : '\n';
    return `${text}${glue}${key}: ${entries.join(',')}\n`;
  }
  const missing = entries.filter((entry) => !found.entries.includes(entry));
  if (missing.length === 0) return text;
  const value = [...found.entries, ...missing].join(',');
  const gap = found.start === text.indexOf(':', found.start - 1) + 1 ? ' ' : '';
  return `${text.slice(0, found.start)}${gap}${value}${text.slice(found.end)}`;
}

/** Takes the entries out again, and the whole line where nothing is left of it. */
export function revertYamlList(text: string, { key, entries }: YamlListEdit): string {
  const found = find(text, key);
  if (found === undefined) return text;
  const left = found.entries.filter((entry) => !entries.includes(entry));
  if (left.length > 0) return text.slice(0, found.start) + left.join(',') + text.slice(found.end);
  return text.replace(new RegExp(`^${key}:.*(?:\\n|$)`, 'm'), '');
}
