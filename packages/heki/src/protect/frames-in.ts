import { type FrameRange, type Gfn, joinedRanges } from '@heki/physical-memory';

/** How many frames of `ranges` lie in one of `places`, which are apart. */
export function framesIn(ranges: readonly FrameRange<Gfn>[], places: readonly FrameRange<Gfn>[]): number {
  let frames = 0;
  for (const { start, end } of joinedRanges(ranges)) {
    for (const place of places) {
      frames += Math.max(0, Math.min(end, place.end) - Math.max(start, place.start));
    }
  }
  return frames;
}
