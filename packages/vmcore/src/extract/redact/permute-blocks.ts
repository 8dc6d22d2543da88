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

/**
 * A table page with other frames in its entries: in those that are present, and in those that Linux takes for mappings
 * all the same (PROTNONE, PSE), whose frame it stores inverted (arch/x86/include/asm/pgtable-invert.h).
 *
 * @param encryptionBit the C-bit, which is no part of a frame and stays
 */
export function withPermutedFrames(
  page: ArrayLike<number>,
  permutation: BlockPermutation,
  encryptionBit?: number,
): Uint32Array {
  const words = Uint32Array.from(page);
  const cBit = encryptionBit === undefined ? 0 : 2 ** (encryptionBit - 12);
  for (let word = 0; word < words.length; word += 2) {
    const low = words[word] ?? 0;
    const high = words[word + 1] ?? 0;
    const isPresent = (low & EntryLow.P) !== 0;
    if (!isPresent && (low & (EntryLow.G | EntryLow.PS)) === 0) continue;
    const stored = entryFrame(low, high);
    const value = isPresent ? stored : 2 ** 40 - 1 - stored;
    const encrypted = cBit > 0 && Math.floor(value / cBit) % 2 === 1 ? cBit : 0;
    const permuted = permutedFrame(permutation, (value - encrypted) as Gfn) + encrypted;
    if (permuted === value) continue;
    const frame = isPresent ? permuted : 2 ** 40 - 1 - permuted;
    words[word] = (low % 4096) + (frame % 2 ** 20) * 4096;
    words[word + 1] = high - (high % 2 ** 20) + Math.floor(frame / 2 ** 20);
  }
  return words;
}
