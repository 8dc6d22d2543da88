import { readFileSync } from 'node:fs';
import { jitPrograms } from './jit-programs.ts';
import { markdownTable, type Page } from './page.ts';

/** What the code of real kernels consists of. */
export const authenticatedCodePage: Page = {
  file: 'docs/authenticated-code.md',
  parts: { bytes, jit: jitPrograms },
};

/** What `heki audit DUMP --vmlinux PACKAGE` counts of the text of a full dump, as scripts/text-bytes.mjs has written it. */
interface TextBytes {
  readonly dump: string;
  readonly bytes: number;
  readonly compared: number;
  readonly differing: number;
  /** By kinds of sites. */
  readonly explained: Readonly<Record<string, number>>;
  readonly unexplained: number;
}

/** Kinds of sites, and the elements of a boot vector that decide them. */
const ELEMENTS: readonly (readonly [kind: string, element: string])[] = [
  ['alternative', 'feature and bug bits: alternatives'],
  ['return thunk', 'return thunk'],
  ['paravirt', 'pv_ops'],
  ['endbr seal', 'IBT: endbr seals'],
  ['smp lock', 'UP or SMP: locks'],
  ['runtime constant', 'runtime constants'],
  ['ftrace', "ftrace's no-ops"],
  ['static call', 'static calls'],
  ['jump label', 'jump labels'],
];

function bytes(): string {
  const rows: readonly TextBytes[] = JSON.parse(readFileSync('internal/docs/text-bytes.json', 'utf8'));
  const titles = ELEMENTS.map(([, element]) => element);
  const right = (text: number): string => text.toLocaleString('en');
  return markdownTable(
    ['dump', 'as in the package', ...titles, 'unexplained'],
    rows.map((row) => {
      checkRow(row);
      const of = ELEMENTS.map(([kind]) => right(row.explained[kind] ?? 0));
      return [row.dump, right(row.bytes - row.differing), ...of, `**${right(row.unexplained)}**`];
    }),
  );
}

/** @throws {Error} for a row that does not add up: bytes that were not compared, or kinds without a column */
function checkRow({ dump, bytes: all, compared, differing, explained, unexplained }: TextBytes): void {
  const kinds = Object.keys(explained).filter((kind) => ELEMENTS.every(([known]) => known !== kind));
  if (kinds.length > 0) throw new Error(`${dump}: no column for ${kinds.join(', ')}`);
  const sum = Object.values(explained).reduce((total, count) => total + count, unexplained);
  if (compared !== all || sum !== differing)
    throw new Error(`${dump}: ${compared} of ${all} bytes compared, ${differing} differ, ${sum} counted`);
}
