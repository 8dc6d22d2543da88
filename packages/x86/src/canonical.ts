import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { X86Error } from './error.ts';

/** 4-level paging translates 48-bit linear addresses, 5-level paging (CR4.LA57) 57-bit ones (SDM 3A 4.5). */
export type PagingLevels = 4 | 5;

/** For callers without types. @throws {X86Error} unless `levels` is 4 or 5 */
export function checkLevels(levels: PagingLevels): void {
  if (levels !== 4 && levels !== 5) {
    throw new X86Error(`${JSON.stringify(levels)} levels of page tables: expected 4 or 5`);
  }
}

/** One past the last canonical virtual frame of the lower half: bit 47 (or 56) and all above are 0 there. */
export function lowerHalfEnd(levels: PagingLevels): VirtualFrame {
  return (levels === 4 ? 2 ** 35 : 2 ** 44) as VirtualFrame;
}

/** The first canonical virtual frame of the upper half: bit 47 (or 56) and all above are 1 from there on. */
export function upperHalfStart(levels: PagingLevels): VirtualFrame {
  return (VIRTUAL_FRAME_END - lowerHalfEnd(levels)) as VirtualFrame;
}

/** Whether the addresses of a virtual frame are canonical (SDM 1 3.3.7.1). */
export function isCanonical(frame: VirtualFrame, levels: PagingLevels): boolean {
  return frame < lowerHalfEnd(levels) || frame >= upperHalfStart(levels);
}

/** The canonical virtual frame whose low 36 (or 45) bits are those of `frame`. */
export function canonicalFrame(frame: number, levels: PagingLevels): VirtualFrame {
  const half = lowerHalfEnd(levels);
  const low = frame % (2 * half);
  return (low < half ? low : low + VIRTUAL_FRAME_END - 2 * half) as VirtualFrame;
}
