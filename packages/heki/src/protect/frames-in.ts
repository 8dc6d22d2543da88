import type { FrameRange, Gfn } from '@heki/physical-memory';

/** The frames of `ranges`, each once, in ranges that ascend and are apart: a page that two mappings lead to is sent twice. */
export function united(ranges: readonly FrameRange<Gfn>[]): FrameRange<Gfn>[] {
  const joined: { start: Gfn; end: Gfn }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || start > last.end) joined.push({ start, end });
    else if (end > last.end) last.end = end;
  }
  return joined;
}

/** How many frames of `ranges` lie in one of `places`, which are apart. */
export function framesIn(ranges: readonly FrameRange<Gfn>[], places: readonly FrameRange<Gfn>[]): number {
  let frames = 0;
  for (const { start, end } of united(ranges)) {
    for (const place of places) {
      frames += Math.max(0, Math.min(end, place.end) - Math.max(start, place.start));
    }
  }
  return frames;
}
