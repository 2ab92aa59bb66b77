/** Lines around a change that are shown. */
const CONTEXT = 2;

/** What differs, from the first to the last such line, as `diff -u` marks it; empty for equal texts. */
export function diffText(before: string, after: string): string {
  if (before === after) return '';
  const [a, b] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  const room = Math.min(a.length, b.length) - head;
  while (tail < room && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const removed = a.slice(head, a.length - tail).map((line) => `-${line}`);
  const added = b.slice(head, b.length - tail).map((line) => `+${line}`);
  const above = a.slice(Math.max(0, head - CONTEXT), head).map((line) => ` ${line}`);
  const below = a.slice(a.length - tail, a.length - tail + CONTEXT).map((line) => ` ${line}`);
  const at = `@@ -${head + 1},${removed.length} +${head + 1},${added.length} @@`;
  return [at, ...above, ...removed, ...added, ...below].join('\n');
}

function linesOf(text: string): readonly string[] {
  if (text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') return lines.slice(0, -1);
  return [...lines.slice(0, -1), `${lines.at(-1) ?? ''} (no newline at the end)`];
}
