import Table from 'cli-table3';
import wrapAnsi from 'wrap-ansi';
import { released, withOwnColours } from '../colours.ts';
import { ascii } from './ascii.ts';
import { widthOf } from './fold.ts';
import type { Screen } from './screen.ts';

/** What a table shows. A cell is a line, or several. */
export interface TableContent {
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | readonly string[])[])[];
  /** Columns whose cells stand to the right, by their index. */
  readonly right?: readonly number[];
  /** A line between rows. */
  readonly ruled?: boolean;
}

/** A column is at least so wide, or the rows are stacked. */
const NARROWEST = 10;

/**
 * A table that fits `screen`: as wide as its contents where there is room, else with cells of several lines, and where words would not fit
 * any more with its rows one below the other.
 */
export function table(content: TableContent, screen: Screen): string[] {
  // Colours become ours again at the end, so that what lays out the table sees sequences that it knows.
  const cells = content.rows.map((row) => row.map((cell) => linesOf(cell, screen)));
  const head = content.head.map((cell) => [screen.colours.bold(cell)].flatMap((one) => linesOf(one, screen)));
  const columns = [head, ...cells];
  const natural = head.map((_, at) => Math.max(...columns.map((row) => widest(row[at] ?? []))));
  const least = head.map((_, at) =>
    Math.max(...columns.map((row) => widest((row[at] ?? []).flatMap((line) => line.split(' '))))),
  );
  // Borders, and a space on both sides of each cell.
  const room = screen.columns - 1 - 3 * head.length;
  const widths = fit(natural, least, room);
  if (widths === undefined) return stacked(content, screen);
  const result = new Table({
    head: head.map((lines, at) => wrapped(lines, widths[at] ?? NARROWEST)),
    style: { head: [], border: [], compact: content.ruled !== true },
    colAligns: head.map((_, at) => (content.right?.includes(at) === true ? 'right' : 'left')),
    colWidths: widths.map((width) => width + 2),
    wordWrap: false,
  });
  for (const row of cells) result.push(row.map((lines, at) => wrapped(lines, widths[at] ?? NARROWEST)));
  return withOwnColours(result.toString()).split('\n');
}

function linesOf(cell: string | readonly string[], { unicode }: Screen): string[] {
  const lines = typeof cell === 'string' ? [cell] : cell;
  return lines.map((line) => {
    const seen = released(line).replace(/[\n\t]/g, ' ');
    return unicode ? seen : ascii(seen);
  });
}

function widest(lines: readonly string[]): number {
  return Math.max(0, ...lines.map(widthOf));
}

function wrapped(lines: readonly string[], width: number): string {
  return lines
    .map((line) => (widthOf(line) <= width ? line : wrapAnsi(line, width, { hard: true })))
    .join('\n');
}

/** Widths of columns that together take at most `room`: the widest give way first. `undefined` when words do not fit. */
function fit(natural: readonly number[], least: readonly number[], room: number): number[] | undefined {
  const sum = (widths: readonly number[]): number => widths.reduce((a, b) => a + b, 0);
  const widths = [...natural];
  const floor = natural.map((width, at) => Math.min(width, Math.max(least[at] ?? 0, NARROWEST)));
  if (sum(floor) > room) return undefined;
  while (sum(widths) > room) {
    let chosen = 0;
    for (const [at, width] of widths.entries()) {
      const slack = width - (floor[at] ?? 0);
      if (slack > 0 && (width > (widths[chosen] ?? 0) || widths[chosen] === floor[chosen])) chosen = at;
    }
    widths[chosen] = (widths[chosen] ?? 0) - 1;
  }
  return widths;
}

/** Each row as a heading, its first cell, and lines that name the column. */
function stacked({ head, rows }: TableContent, screen: Screen): string[] {
  const { bold, dim } = screen.colours;
  const label = Math.max(...head.slice(1).map(widthOf));
  return rows.flatMap((row, index) => {
    const [title = [], ...others] = row.map((cell) => linesOf(cell, screen).map(withOwnColours));
    return [
      ...(index === 0 ? [] : ['']),
      ...title.map((line, at) => (at === 0 ? bold(line) : line)),
      ...others.flatMap((lines, at) =>
        lines.every((line) => line === '')
          ? []
          : lines.map((line, n) => `  ${dim((n === 0 ? (head[at + 1] ?? '') : '').padEnd(label))}  ${line}`),
      ),
    ];
  });
}
