/** The numbers `start` .. `end` - 1: bytes, or frames. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** `ranges`, which are in order, with those that touch or overlap as one. */
export function united(ranges: readonly Range[]): Range[] {
  const result: { start: number; end: number }[] = [];
  for (const { start, end } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else result.push({ start, end });
  }
  return result;
}

/** The parts of `ranges` outside `holes`; each are in order and apart. */
export function without<Kind extends Range>(ranges: readonly Kind[], holes: readonly Range[]): Kind[] {
  const parts: Kind[] = [];
  let next = 0;
  for (const range of ranges) {
    let { start } = range;
    while ((holes[next]?.end ?? range.end) <= start) next++;
    for (let index = next; start < range.end; index++) {
      const hole = holes[index] ?? { start: range.end, end: range.end };
      const end = Math.min(hole.start, range.end);
      if (start < end) parts.push({ ...range, start, end });
      start = Math.max(start, hole.end);
    }
  }
  return parts;
}
