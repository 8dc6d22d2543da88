import type { Gfn } from '@heki/physical-memory';
import { EntryLow, entryFrame } from '@heki/x86';

/** Frames of a block of 2 MiB: KASLR places the image by these. */
export const BLOCK_FRAMES = 512;

/** Where blocks of memory go; those that stay are left out. Each place is taken once. */
export type BlockPermutation = ReadonlyMap<number, number>;

/** `blocks` in another order: those from `first` on come to the front, the others behind them, each in its order. */
export function broughtToFront(blocks: readonly number[], first: number): BlockPermutation {
  const order = [...blocks.filter((block) => block >= first), ...blocks.filter((block) => block < first)];
  return new Map(
    order.map((block, index) => [block, blocks[index] ?? block] as const).filter(([a, b]) => a !== b),
  );
}

/** Where a frame goes. */
export function permutedFrame(permutation: BlockPermutation, frame: Gfn): Gfn {
  const place = permutation.get(Math.floor(frame / BLOCK_FRAMES));
  return place === undefined ? frame : ((place * BLOCK_FRAMES + (frame % BLOCK_FRAMES)) as Gfn);
}

/** All address bits of an entry, as a frame number. */
const ALL_FRAME_BITS = 2 ** 40 - 1;

/**
 * A table page with other frames in its entries, whoever reads them: in those that are present, and in those that are not and still
 * hold a frame. Linux stores that inverted (arch/x86/include/asm/pgtable-invert.h), as set_memory_np leaves it in the image of a kernel
 * with page-table isolation, or, in KFENCE, as it was.
 *
 * @param encryptionBit the C-bit, which is not part of a frame and stays
 */
export function withPermutedFrames(
  page: ArrayLike<number>,
  permutation: BlockPermutation,
  encryptionBit?: number,
): Uint32Array {
  const words = Uint32Array.from(page);
  const cBit = encryptionBit === undefined ? 0 : 2 ** (encryptionBit - 12);
  const permuted = (frame: number): number => {
    const encrypted = cBit > 0 && Math.floor(frame / cBit) % 2 === 1 ? cBit : 0;
    return permutedFrame(permutation, (frame - encrypted) as Gfn) + encrypted;
  };
  for (let word = 0; word < words.length; word += 2) {
    const low = words[word] ?? 0;
    const high = words[word + 1] ?? 0;
    if (low === 0 && high === 0) continue;
    const stored = entryFrame(low, high);
    const inverted = ALL_FRAME_BITS - permuted(ALL_FRAME_BITS - stored);
    const frame = (low & EntryLow.P) === 0 && inverted !== stored ? inverted : permuted(stored);
    if (frame === stored) continue;
    words[word] = (low % 4096) + (frame % 2 ** 20) * 4096;
    words[word + 1] = high - (high % 2 ** 20) + Math.floor(frame / 2 ** 20);
  }
  return words;
}

/**
 * The frame of a leaf of Linux's walk once its table page was permuted. Of a leaf that is not present that walk takes the frame for
 * inverted, where it may be as it was.
 *
 * @param lastFrame the frame whose address bits are all set, but for the C-bit
 */
export function permutedLeafFrame(
  permutation: BlockPermutation,
  { guestFrame, frames, low }: { readonly guestFrame: Gfn; readonly frames: number; readonly low: number },
  lastFrame: number,
): number {
  const permuted = permutedFrame(permutation, guestFrame);
  if ((low & EntryLow.P) !== 0 || permuted !== guestFrame) return permuted;
  const mirror = lastFrame - (frames - 1);
  return mirror - permutedFrame(permutation, (mirror - guestFrame) as Gfn);
}
