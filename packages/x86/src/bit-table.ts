/**
 * Declarative tables of bits. A table states each bit once - name, position, meaning, source - and the masks, the
 * printer and the documentation are derived from it.
 */

/** One bit, or one field of adjacent bits, of a register or an entry. */
export interface BitRow {
  /** Position of the (lowest) bit. */
  readonly bit: number;
  /** Number of bits; 1 when absent. */
  readonly width?: number;
  /** What 1 means, in a few words. */
  readonly meaning: string;
  /** Where the architecture says so. */
  readonly source: string;
}

/** The bits of one register or entry, by their architectural names, lowest bit first. */
export type BitTable = Readonly<Record<string, BitRow>>;

/** The masks of a table as 64-bit values, by name. */
export type BitMasks<Table extends BitTable> = { readonly [Name in keyof Table]: bigint };

/** The masks of a table as unsigned 32-bit numbers, by name. */
export type WordMasks<Table extends BitTable> = { readonly [Name in keyof Table]: number };

function maskOf(row: BitRow): bigint {
  return ((1n << BigInt(row.width ?? 1)) - 1n) << BigInt(row.bit);
}

/** The mask of every row as a bigint: `CR4.SMEP` is `1n << 20n`. */
export function bitMasks<const Table extends BitTable>(table: Table): BitMasks<Table> {
  return Object.fromEntries(
    Object.entries(table).map(([name, row]) => [name, maskOf(row)]),
  ) as BitMasks<Table>;
}

/**
 * The mask of every row as an unsigned number within the 32-bit word whose lowest bit is `word * 32`; 0 for a row
 * that lies in the other word.
 */
export function wordMasks<const Table extends BitTable>(table: Table, word: 0 | 1 = 0): WordMasks<Table> {
  return Object.fromEntries(
    Object.entries(table).map(([name, row]) => [
      name,
      Number((maskOf(row) >> BigInt(word * 32)) & 0xffff_ffffn),
    ]),
  ) as WordMasks<Table>;
}

/** Names of the single bits that are set in `value`, lowest first; bits without a row are not named. */
export function bitNames<Table extends BitTable>(
  table: Table,
  value: bigint | number,
): (keyof Table & string)[] {
  const bits = BigInt(value);
  return Object.entries(table)
    .filter(([, row]) => (row.width ?? 1) === 1 && (bits & maskOf(row)) !== 0n)
    .map(([name]) => name);
}

/** `value` as people read it: `0x80010031 (PE ET NE WP PG)`. */
export function describeBits(table: BitTable, value: bigint | number): string {
  const names = bitNames(table, value);
  return `0x${value.toString(16)}${names.length > 0 ? ` (${names.join(' ')})` : ''}`;
}

/** The table as the rows of a Markdown table: bit, name, meaning, source. */
export function bitTableMarkdown(table: BitTable): string {
  const rows = Object.entries(table).map(([name, { bit, width = 1, meaning, source }]) => {
    const position = width === 1 ? String(bit) : `${bit + width - 1}:${bit}`;
    return `| ${position} | ${name} | ${meaning} | ${source} |`;
  });
  return ['| bit | name | meaning | source |', '|---|---|---|---|', ...rows].join('\n');
}
