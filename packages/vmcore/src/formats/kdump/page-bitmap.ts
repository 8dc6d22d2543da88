import { type Gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { VmcoreSegment } from '../../segment.ts';

/** Bytes of a bitmap that are counted together. */
const BLOCK = 64;

/** Which pages a kdump holds: one bit for each frame. */
export interface PageBitmap {
  /** How many pages with a lower frame it holds; `undefined` when it does not hold this one. */
  rank(frame: number): number | undefined;
  /** The frames that it holds, as memory. */
  segments(): VmcoreSegment[];
  /** Pages that it holds. */
  readonly count: number;
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let ones = 0;
  for (let rest = byte; rest > 0; rest >>= 1) ones += rest % 2;
  return ones;
});

/** The bitmap in `bits`, of which the frames `first` .. `end` - 1 count. */
export function pageBitmap(bits: Uint8Array, first: number, end: number): PageBitmap {
  const limit = Math.max(first, Math.min(end, bits.length * 8));
  const blocks = Math.ceil(bits.length / BLOCK);
  /** The ones before each block. */
  const before = new Float64Array(blocks + 1);
  for (let block = 0; block < blocks; block++) {
    let ones = 0;
    const stop = Math.min(bits.length, (block + 1) * BLOCK);
    for (let at = block * BLOCK; at < stop; at++) ones += ONES[bits[at] ?? 0] ?? 0;
    before[block + 1] = (before[block] ?? 0) + ones;
  }

  const has = (frame: number): boolean => ((bits[Math.floor(frame / 8)] ?? 0) >> (frame % 8)) % 2 === 1;

  function onesBelow(frame: number): number {
    const byte = Math.floor(frame / 8);
    const block = Math.floor(byte / BLOCK);
    let ones = before[block] ?? 0;
    for (let at = block * BLOCK; at < byte; at++) ones += ONES[bits[at] ?? 0] ?? 0;
    return ones + (ONES[(bits[byte] ?? 0) % 2 ** (frame % 8)] ?? 0);
  }

  const skipped = onesBelow(first);
  return {
    count: onesBelow(limit) - skipped,
    rank(frame) {
      return frame >= first && frame < limit && has(frame) ? onesBelow(frame) - skipped : undefined;
    },
    segments() {
      const segments: VmcoreSegment[] = [];
      let start: number | undefined;
      for (let frame = first; frame <= limit; frame++) {
        if (frame % 8 === 0 && frame + 8 <= limit && bits[frame / 8] === (start === undefined ? 0 : 255)) {
          frame += 7;
          continue;
        }
        const held = frame < limit && has(frame);
        if (held && start === undefined) start = frame;
        if (held || start === undefined) continue;
        segments.push({ start: (start * PAGE_SIZE) as Gpa, end: (frame * PAGE_SIZE) as Gpa });
        start = undefined;
      }
      return segments;
    },
  };
}
