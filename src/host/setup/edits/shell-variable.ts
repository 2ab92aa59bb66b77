import { InputError } from '../../../errors.js';
import type { ArgumentChange } from '../argument-changes.js';
import { changeCommandLine } from './words.js';

/** Changes words in `NAME="..."` of a file that a shell reads, such as /etc/default/grub. */
export interface ShellVariableEdit {
  readonly kind: 'shell-variable';
  readonly variable: string;
  readonly changes: readonly ArgumentChange[];
}

interface Assignment {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

/** The last assignment of the variable that is a plain string. */
export function findAssignment(text: string, variable: string): Assignment | undefined {
  const line = new RegExp(`^[ \\t]*(?:export[ \\t]+)?${variable}=(.*)$`, 'gm');
  const last = [...text.matchAll(line)].at(-1);
  if (last === undefined) return undefined;
  const raw = last[1] ?? '';
  const value = readWord(raw);
  if (value === undefined) return undefined;
  const start = last.index + last[0].length - raw.length;
  return { start, end: start + value.length, value: value.text };
}

/** One word of the shell without any expansion but `\` in it. */
function readWord(raw: string): { readonly text: string; readonly length: number } | undefined {
  const double = /^"((?:[^"\\$`]|\\.)*)"(?=\s|$|#|;)/.exec(raw);
  if (double)
    return { text: (double[1] ?? '').replace(/\\(["\\$`])/g, '$1'), length: double[0].length };
  const single = /^'([^']*)'(?=\s|$|#|;)/.exec(raw);
  if (single) return { text: single[1] ?? '', length: single[0].length };
  const plain = /^[^\s"'\\$`;#&|<>()]*(?=\s|$|;)/.exec(raw);
  return plain ? { text: plain[0], length: plain[0].length } : undefined;
}

/** Quotes text for a double-quoted shell word. */
export function quoteForShell(value: string): string {
  return `"${value.replace(/["\\$`]/g, '\\$&')}"`;
}

/** @throws {InputError} where the variable is assigned in a way that only a shell can read. */
export function applyShellVariable(text: string, edit: ShellVariableEdit): string {
  const found = findAssignment(text, edit.variable);
  if (found === undefined && new RegExp(`^[^#\\n]*\\b${edit.variable}\\b`, 'm').test(text)) {
    throw new InputError('BAD_ARGUMENT', `${edit.variable} is not assigned as one plain string`, {
      remedy: `write it as ${edit.variable}="..."`,
    });
  }
  const changed = changeCommandLine(found?.value ?? '', edit.changes);
  if (changed === undefined) return text;
  const value = quoteForShell(changed);
  if (found !== undefined) return text.slice(0, found.start) + value + text.slice(found.end);
  const glue = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${text}${glue}${edit.variable}=${value}\n`;
}
