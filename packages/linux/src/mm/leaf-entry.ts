import type { Gfn, U64 } from '@heki/physical-memory';
import { EntryHigh, EntryLow, type LeafLevel, leafFrame } from '@heki/x86';

const { P, PS, G } = EntryLow;
/** The bits of the low half that hold the frame, by level of the leaf. */
const FRAME_LOW = [0, 0xffff_f000, 0xffe0_0000, 0xc000_0000] as const;
/** The bits below those of a PTE's frame. */
const FLAGS_LOW = 0xfff;

/** `pte_none`, `pmd_none`, `pud_none`: nothing is there but, by an erratum of old processors, A and D. */
export function isNone({ low, high }: U64): boolean {
  return high === 0 && (low & ~(EntryLow.A | EntryLow.D)) === 0;
}

/**
 * The bits of a leaf with its frame as it is. In an entry that is not present Linux keeps all bits of the frame inverted, so that
 * speculation past the fault finds no memory (arch/x86/include/asm/pgtable-invert.h); those below the frame of a large leaf say nothing.
 */
export function plainLeaf(low: number, high: number, level: LeafLevel): U64 {
  if ((low & P) !== 0 || isNone({ low, high })) return { low, high };
  return { low: ((~low & FRAME_LOW[level]) | (low & FLAGS_LOW)) >>> 0, high: (high ^ EntryHigh.FRAME) >>> 0 };
}

/** The entry for a leaf with these bits: `pfn_pte`, which inverts the frame as that of a PTE, whatever the size of the leaf. */
export function storedLeaf({ low, high }: U64): U64 {
  if ((low & P) !== 0 || isNone({ low, high })) return { low, high };
  return { low: (low ^ EntryLow.FRAME) >>> 0, high: (high ^ EntryHigh.FRAME) >>> 0 };
}

/** The first frame of a leaf, present or not. */
export function storedFrame(low: number, high: number, level: LeafLevel): Gfn {
  const plain = plainLeaf(low, high, level);
  return leafFrame(plain.low, plain.high, level);
}

/**
 * The bits of a leaf as change_page_attr leaves them: G and, in a large leaf, PSE stand beside P only. Without it the one would read as
 * PROT_NONE (pgprot_clear_protnone_bits), the other as a leaf that is there (pmd_present).
 */
export function withPresenceBits({ low, high }: U64, level: LeafLevel): U64 {
  if ((low & P) !== 0) return { low: level === 1 ? low : (low | PS) >>> 0, high };
  return { low: (low & ~(level === 1 ? G : G | PS)) >>> 0, high };
}

/** A 4-KiB leaf over `frame`. */
export function leafOf(frame: Gfn, { low, high }: U64): U64 {
  return { low: (low | ((frame % 2 ** 20) * 4096)) >>> 0, high: (high | Math.floor(frame / 2 ** 20)) >>> 0 };
}
