import type { MemoryTableGeometry } from './geometry.ts';

/** Frames that one entry of a level covers. */
function framesOf(shift: number): number {
  return 2 ** (shift - 12);
}

/** The largest entry of the geometry that holds `frame` and lies inside the extent `start` .. `end` - 1. */
export function entryInExtent(
  geometry: MemoryTableGeometry,
  frame: number,
  start: number,
  end: number,
): { readonly number: number; readonly start: number; readonly end: number } {
  for (let number = geometry.levels.length - 1; number > 0; number--) {
    const frames = framesOf(geometry.levels[number]?.shift ?? 0);
    const base = frame - (frame % frames);
    if (base >= start && base + frames <= end) return { number, start: base, end: base + frames };
  }
  return { number: 0, start: frame, end: frame + 1 };
}

/** Adds to `counts` the entries, level by level, that hold the extent `start` .. `end` - 1. */
export function countEntries(
  geometry: MemoryTableGeometry,
  start: number,
  end: number,
  counts: number[],
): void {
  let above = 0;
  let framesAbove = 0;
  for (let number = geometry.levels.length - 1; number >= 0; number--) {
    const frames = framesOf(geometry.levels[number]?.shift ?? 0);
    const blocks = Math.max(0, Math.floor(end / frames) - Math.ceil(start / frames));
    counts[number] = (counts[number] ?? 0) + blocks - above * (framesAbove / frames);
    above = blocks;
    framesAbove = frames;
  }
}
