import type { EntryBit } from '@heki/inspector';
import type { PageView } from '@heki/physical-memory';
import { ENTRY_BITS, isLeaf, type Level } from '@heki/x86';

type BitName = keyof typeof ENTRY_BITS;

/** Those of an entry of each kind, in the order of their positions. */
const OF_TABLES: readonly BitName[] = ['P', 'RW', 'US', 'PWT', 'PCD', 'A', 'PS', 'XD'];
const OF_LARGE_LEAVES: readonly BitName[] = [
  'P',
  'RW',
  'US',
  'PWT',
  'PCD',
  'A',
  'D',
  'PS',
  'G',
  'PAT_LARGE',
  'XD',
];
const OF_SMALL_LEAVES: readonly BitName[] = ['P', 'RW', 'US', 'PWT', 'PCD', 'A', 'D', 'PAT', 'G', 'XD'];

/** The single bits that mean something in an entry of `level`. */
export function entryBitsOf(level: Level, value: bigint): EntryBit[] {
  const isLast = isLeaf(Number(value % 0x1_0000_0000n), level);
  const names = level === 1 ? OF_SMALL_LEAVES : isLast ? OF_LARGE_LEAVES : OF_TABLES;
  return names.map((name) => {
    const { bit, meaning } = ENTRY_BITS[name];
    return { name, bit, isSet: (value >> BigInt(bit)) % 2n === 1n, meaning };
  });
}

/** What each entry of a table of `level` is, as `ENTRY_KINDS` of the inspector numbers them. */
export function entryKindsOf(table: PageView, level: Level): Uint8Array {
  const kinds = new Uint8Array(512);
  for (let entry = 0; entry < 512; entry++) {
    const low = table[2 * entry] ?? 0;
    const high = table[2 * entry + 1] ?? 0;
    if (low % 2 === 0) continue;
    kinds[entry] = isLeaf(low, level) ? 2 + leafKind(low, high) : 1;
  }
  return kinds;
}

/** 0 data, 1 constants, 2 code, 3 written and executed: by the leaf alone. */
function leafKind(low: number, high: number): number {
  const writable = low % 4 >= 2;
  const executable = high < 0x8000_0000;
  if (executable) return writable ? 3 : 2;
  return writable ? 0 : 1;
}
