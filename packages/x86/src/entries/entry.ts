import type { Gfn } from '@heki/physical-memory';
import { type WordMasks, wordMasks } from '../bit-table.ts';

/** Level of a paging structure and its entries: 5 PML5E, 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE. */
export type Level = 1 | 2 | 3 | 4 | 5;
/** Level of an entry that can be a leaf: 1 (4 KiB), 2 (2 MiB), 3 (1 GiB). */
export type LeafLevel = 1 | 2 | 3;

/**
 * A paging-structure entry of 4-level and 5-level paging. PS stands for bit 7 of PDPTEs and PDEs, PAT for bit 7 of a
 * PTE and PAT_LARGE for bit 12 of a larger leaf.
 */
export const ENTRY_BITS = {
  P: { bit: 0, meaning: 'present', source: 'SDM 3A 4.5' },
  RW: { bit: 1, meaning: 'writable', source: 'SDM 3A 4.5, 4.6.1' },
  US: { bit: 2, meaning: 'user', source: 'SDM 3A 4.5, 4.6.1' },
  PWT: { bit: 3, meaning: 'write-through', source: 'SDM 3A 4.9' },
  PCD: { bit: 4, meaning: 'cache disable', source: 'SDM 3A 4.9' },
  A: { bit: 5, meaning: 'accessed', source: 'SDM 3A 4.8' },
  D: { bit: 6, meaning: 'dirty (leaf; otherwise ignored)', source: 'SDM 3A 4.8' },
  PS: { bit: 7, meaning: 'leaf (PDPTE, PDE); reserved in PML5E and PML4E', source: 'SDM 3A 4.5' },
  G: {
    bit: 8,
    meaning: 'global (leaf; otherwise ignored, on AMD reserved in PML5E and PML4E)',
    source: 'SDM 3A 4.10.2.4',
  },
  R: { bit: 11, meaning: 'restart with CR3 (HLAT paging; otherwise ignored)', source: 'SDM 3A 4.5.5' },
  PAT: { bit: 7, meaning: 'memory type (PTE)', source: 'SDM 3A 4.9.2' },
  PAT_LARGE: { bit: 12, meaning: 'memory type (2-MiB and 1-GiB leaf)', source: 'SDM 3A 4.9.2' },
  FRAME: { bit: 12, width: 40, meaning: 'frame; bits from MAXPHYADDR on are reserved', source: 'SDM 3A 4.5' },
  KEY: { bit: 59, width: 4, meaning: 'protection key (leaf; otherwise ignored)', source: 'SDM 3A 4.6.2' },
  XD: { bit: 63, meaning: 'execute-disable; reserved when EFER.NXE = 0', source: 'SDM 3A 4.6.1' },
} as const;

/** Masks of the low half of an entry, bits 31:0; 0 for what lies above. */
export const EntryLow: WordMasks<typeof ENTRY_BITS> = wordMasks(ENTRY_BITS);
/** Masks of the high half of an entry, bits 63:32; 0 for what lies below. */
export const EntryHigh: WordMasks<typeof ENTRY_BITS> = wordMasks(ENTRY_BITS, 1);

const LEVEL_NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'] as const;
const PAGE_SIZES = ['', '4 KiB', '2 MiB', '1 GiB'] as const;
/** 4-KiB frames that one entry of each level covers. */
const FRAMES: readonly number[] = [0, 1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36];

/** `PTE`, `PDE`, `PDPTE`, `PML4E` or `PML5E`. */
export function levelName(level: Level): string {
  return LEVEL_NAMES[level];
}

/** `4 KiB`, `2 MiB` or `1 GiB`. */
export function pageSizeName(level: LeafLevel): string {
  return PAGE_SIZES[level];
}

/** The 4-KiB frames that one entry of `level` covers: 1, 512, 512 x 512, ... */
export function framesOfLevel(level: Level): number {
  return FRAMES[level] ?? 0;
}

/** Which of the 512 entries of a table of `level` (1 .. 5) translates a frame: 0 .. 511, nine bits of its address. */
export function entryIndex(frame: number, level: number): number {
  return Math.floor(frame / (FRAMES[level] ?? 1)) % 512;
}

/** Bits 51:32 of an address, in the high half of an entry. */
const ALL_ADDRESS_BITS = 0xf_ffff;

/**
 * The bits of an entry's high half that are address bits: all of 51:32 but the C-bit, which says that memory is encrypted and
 * where it is on is not part of the address (APM 2 7.10.2).
 *
 * @param encryptionBit the C-bit, 32 .. 51
 */
export function addressHigh(encryptionBit: number | undefined): number {
  return encryptionBit === undefined ? ALL_ADDRESS_BITS : ALL_ADDRESS_BITS & ~(1 << (encryptionBit - 32));
}

/** The frame number in an entry, bits 51:12, given its halves; `bits` of the high one, as {@link addressHigh} gives them. */
export function entryFrame(low: number, high: number, bits: number = ALL_ADDRESS_BITS): Gfn {
  return ((low >>> 12) + (high & bits) * 0x10_0000) as Gfn;
}

/** The first frame that a leaf of `level` maps: the frame number without the bits below the leaf's size. */
export function leafFrame(low: number, high: number, level: LeafLevel, bits?: number): Gfn {
  const frame = entryFrame(low, high, bits);
  return (frame - (frame % framesOfLevel(level))) as Gfn;
}

/** Whether an entry of `level` with this low half maps a page, if it is present: any PTE, or PS in a PDE or PDPTE. */
export function isLeaf(low: number, level: Level): level is LeafLevel {
  return level === 1 || (level <= 3 && (low & EntryLow.PS) !== 0);
}

/** A paging-structure entry taken apart. */
export interface DecodedEntry {
  readonly present: boolean;
  /** The entry maps a page (when it is present). */
  readonly leaf: boolean;
  /** First frame of the mapped page, or frame of the next table. */
  readonly frame: Gfn;
  /** Names of the flags that are set and mean something in an entry of this level; `C` for the C-bit. */
  readonly flags: readonly string[];
  /** Protection key; 0 in an entry that is not a leaf. */
  readonly key: number;
}

/** The single bits, with their masks in both halves. */
const FLAGS = (Object.keys(ENTRY_BITS) as (keyof typeof ENTRY_BITS)[])
  .filter((name) => name !== 'FRAME' && name !== 'KEY')
  .map((name) => ({ name, low: EntryLow[name], high: EntryHigh[name] }));

/** Takes an entry of `level`, given as its halves, apart; `encryptionBit` is the C-bit, if there is one. */
export function decodeEntry(level: Level, low: number, high: number, encryptionBit?: number): DecodedEntry {
  const bits = addressHigh(encryptionBit);
  const leaf = isLeaf(low, level);
  const flags: string[] = [];
  for (const flag of FLAGS) {
    const set = (low & flag.low) !== 0 || (high & flag.high) !== 0;
    if (set && hasMeaning(flag.name, level, leaf)) flags.push(flag.name);
  }
  if ((high & ALL_ADDRESS_BITS & ~bits) !== 0) flags.push('C');
  return {
    present: (low & EntryLow.P) !== 0,
    leaf,
    frame: leaf ? leafFrame(low, high, level, bits) : entryFrame(low, high, bits),
    flags,
    key: leaf ? (high >>> 27) & 15 : 0,
  };
}

function hasMeaning(name: keyof typeof ENTRY_BITS, level: Level, leaf: boolean): boolean {
  switch (name) {
    case 'PAT':
      return level === 1;
    case 'PS':
      return level !== 1;
    case 'PAT_LARGE':
      return leaf && level !== 1;
    case 'D':
    case 'G':
      return leaf;
    default:
      return true;
  }
}

/**
 * An entry as people read it: `0x8000000001a001e3 PDE, 2 MiB page at 0x1a00000, P RW A D PS G XD`.
 * What a not-present entry holds besides is the operating system's, and is not taken apart.
 */
export function describeEntry(level: Level, low: number, high: number): string {
  const value = `0x${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16).padStart(16, '0')}`;
  const entry = decodeEntry(level, low, high);
  if (!entry.present) return `${value} ${levelName(level)}, not present`;
  const what = isLeaf(low, level) ? `${pageSizeName(level)} page` : 'table';
  const key = entry.key === 0 ? '' : ` key ${entry.key}`;
  return `${value} ${levelName(level)}, ${what} at 0x${(entry.frame * 4096).toString(16)}, ${entry.flags.join(' ')}${key}`;
}
