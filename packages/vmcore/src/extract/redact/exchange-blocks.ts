import type { FrameRange, Gfn } from '@heki/physical-memory';
import { EntryLow, entryFrame } from '@heki/x86';

/** Frames of a block of 2 MiB: KASLR places the image by these. */
export const BLOCK_FRAMES = 512;

/** Blocks of memory that change places: a permutation, of which the fixed points are left out. */
export type BlockExchange = ReadonlyMap<number, number>;

/** Brings `count` blocks from `from` to `to`, one after the other; what was in a place goes where the block came from. */
export function exchangeBlocks(from: number, to: number, count: number): BlockExchange {
  const placeOf = new Map<number, number>();
  const blockAt = new Map<number, number>();
  const put = (block: number, place: number): void => {
    placeOf.set(block, place);
    blockAt.set(place, block);
  };
  for (let index = 0; index < count; index++) {
    const place = placeOf.get(from + index) ?? from + index;
    const other = blockAt.get(to + index) ?? to + index;
    put(from + index, to + index);
    put(other, place);
  }
  return new Map([...placeOf].filter(([block, place]) => block !== place));
}

/** Where the exchange takes a frame. */
export function exchangedFrame(exchange: BlockExchange, frame: Gfn): Gfn {
  const place = exchange.get(Math.floor(frame / BLOCK_FRAMES));
  return place === undefined ? frame : ((place * BLOCK_FRAMES + (frame % BLOCK_FRAMES)) as Gfn);
}

/**
 * A table page with the frames in its entries exchanged: in those that are present, and in those that Linux takes for
 * mappings all the same (PROTNONE, PSE), whose frame it stores inverted (arch/x86/include/asm/pgtable-invert.h).
 */
export function withExchangedFrames(page: ArrayLike<number>, exchange: BlockExchange): Uint32Array {
  const words = Uint32Array.from(page);
  for (let word = 0; word < words.length; word += 2) {
    const low = words[word] ?? 0;
    const high = words[word + 1] ?? 0;
    const isPresent = (low & EntryLow.P) !== 0;
    if (!isPresent && (low & (EntryLow.G | EntryLow.PS)) === 0) continue;
    const stored = entryFrame(low, high);
    const inverted = (frame: Gfn): Gfn => (isPresent ? frame : ((2 ** 40 - 1 - frame) as Gfn));
    const frame = inverted(exchangedFrame(exchange, inverted(stored)));
    if (frame === stored) continue;
    words[word] = (low % 4096) + (frame % 2 ** 20) * 4096;
    words[word + 1] = high - (high % 2 ** 20) + Math.floor(frame / 2 ** 20);
  }
  return words;
}

/** Whether all frames of `count` blocks from `from` on are in `ranges`, which are ascending and joined. */
export function holdsBlocks(ranges: readonly FrameRange<Gfn>[], from: number, count: number): boolean {
  return ranges.some(
    ({ start, end }) => start <= from * BLOCK_FRAMES && end >= (from + count) * BLOCK_FRAMES,
  );
}
