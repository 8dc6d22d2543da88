import type { Gfn, U64 } from '@heki/physical-memory';
import { EntryHigh, EntryLow, type LeafLevel, leafFrame } from '@heki/x86';

/** The bits of the low half that hold the frame, by level of the leaf. */
const FRAME_LOW = [0, 0xffff_f000, 0xffe0_0000, 0xc000_0000] as const;

/**
 * A leaf as Linux keeps it, from or to its bits with the frame as it is: in an entry that is not present all bits of the frame
 * are inverted, so that speculation past the fault finds no memory (arch/x86/include/asm/pgtable-invert.h).
 */
export function stored(low: number, high: number, level: LeafLevel): U64 {
  if (low === 0 || (low & EntryLow.P) !== 0) return { low, high };
  return { low: (low ^ FRAME_LOW[level]) >>> 0, high: (high ^ EntryHigh.FRAME) >>> 0 };
}

/** The first frame of a leaf, present or not. */
export function storedFrame(low: number, high: number, level: LeafLevel): Gfn {
  const plain = stored(low, high, level);
  return leafFrame(plain.low, plain.high, level);
}

/** A 4-KiB leaf over `frame`. */
export function leafOf(frame: Gfn, { low, high }: U64): U64 {
  return { low: (low | ((frame % 2 ** 20) * 4096)) >>> 0, high: (high | Math.floor(frame / 2 ** 20)) >>> 0 };
}
