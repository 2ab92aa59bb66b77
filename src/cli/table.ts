import { escapeControl } from '../index.js';

const GAP = '  ';
/** What the last column keeps of a narrow terminal. */
const LEAST_LAST = 12;

export interface TableOptions {
  /** Characters to a line; what does not fit is cut, with a mark where. Default: nothing is. */
  readonly width?: number | undefined;
  /** A column that gives way before the last one does, and how much it keeps. */
  readonly elastic?: { readonly column: number; readonly least: number } | undefined;
}

/** Columns set two spaces apart, as wide as their widest cell; the last is as long as it is. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { width, elastic }: TableOptions = {},
): readonly string[] {
  const lines = [head, ...rows.map((row) => row.map(escapeControl))];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  );
  if (width !== undefined) narrow(widths, width, elastic);
  return lines.map((line) => {
    const text = line
      .map((cell, column) => cut(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
      .join(GAP)
      .trimEnd();
    return width === undefined ? text : cut(text, width);
  });
}

/** Takes from the elastic column first, then from the last. */
function narrow(widths: number[], width: number, elastic: TableOptions['elastic']): void {
  const excess = () =>
    widths.reduce((sum, each) => sum + each, (widths.length - 1) * GAP.length) - width;
  const shrink = (column: number, least: number) => {
    const now = widths[column] ?? 0;
    widths[column] = Math.max(Math.min(now, least), now - Math.max(0, excess()));
  };
  const last = widths.length - 1;
  if (elastic !== undefined) {
    // The last column may hold pages of findings: it must not push the other to its least.
    const room = (widths[elastic.column] ?? 0) + LEAST_LAST;
    if ((widths[last] ?? 0) > room) shrink(last, room);
    shrink(elastic.column, elastic.least);
  }
  shrink(last, LEAST_LAST);
}

const cut = (cell: string, width: number) =>
  cell.length <= width ? cell : `${cell.slice(0, Math.max(0, width - 1))}…`;
