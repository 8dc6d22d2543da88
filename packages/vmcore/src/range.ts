/** The numbers `start` .. `end` - 1: bytes, or frames. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The parts of `ranges` outside `holes`; each are in order and apart. */
export function without<Kind extends Range>(ranges: readonly Kind[], holes: readonly Range[]): Kind[] {
  const parts: Kind[] = [];
  let next = 0;
  for (const range of ranges) {
    let { start } = range;
    while ((holes[next]?.end ?? Number.POSITIVE_INFINITY) <= start) next++;
    for (let index = next; start < range.end; index++) {
      const hole = holes[index] ?? { start: range.end, end: range.end };
      const end = Math.min(hole.start, range.end);
      if (start === range.start && end === range.end) parts.push(range);
      else if (start < end) parts.push({ ...range, start, end });
      start = Math.max(start, hole.end);
    }
  }
  return parts;
}

/**
 * The parts of `ranges`, in any order, in which each is the *first* of those that cover them; ascending and apart. Files that put
 * things on top of each other are laid out so.
 */
export function uppermost<Kind extends Range>(ranges: readonly Kind[]): Kind[] {
  const filled = ranges.filter(({ start, end }) => start < end);
  const byStart = filled
    .map((range, rank) => ({ range, rank }))
    .sort((a, b) => a.range.start - b.range.start);
  if (byStart.every(({ range }, index) => range.start >= (byStart[index - 1]?.range.end ?? 0))) {
    return byStart.map(({ range }) => range);
  }
  const points = Float64Array.from(filled.flatMap(({ start, end }) => [start, end])).sort();
  const parts: Kind[] = [];
  /** Ranks of the ranges that began, as a heap with the lowest in front; those that ended leave when they get there. */
  const open: number[] = [];
  let last: { readonly rank: number; readonly end: number } | undefined;
  let next = 0;
  for (const [index, start] of points.entries()) {
    for (; (byStart[next]?.range.start ?? Number.POSITIVE_INFINITY) <= start; next++) {
      pushHeap(open, byStart[next]?.rank ?? 0);
    }
    while ((filled[open[0] ?? -1]?.end ?? Number.POSITIVE_INFINITY) <= start) popHeap(open);
    const rank = open[0] ?? -1;
    const range = filled[rank];
    const end = points[index + 1] ?? start;
    if (range === undefined || end === start) continue;
    const before = last?.rank === rank && last.end === start ? parts.pop() : undefined;
    parts.push({ ...range, start: before?.start ?? start, end });
    last = { rank, end };
  }
  return parts;
}

function pushHeap(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = Math.floor((at - 1) / 2);
    const above = heap[parent] ?? 0;
    if (above <= value) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = value;
}

function popHeap(heap: number[]): void {
  const value = heap.pop() ?? 0;
  if (heap.length === 0) return;
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if ((heap[child + 1] ?? Number.POSITIVE_INFINITY) < (heap[child] ?? 0)) child++;
    const below = heap[child] ?? 0;
    if (below >= value) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = value;
}
