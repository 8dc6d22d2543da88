/** What a step of a thread has looked at and changed, as numbers of cells: whatever the machine tells from each other. */
export interface Footprint {
  readonly reads: ReadonlySet<number>;
  readonly writes: ReadonlySet<number>;
}

/** Whether the order of two steps of different threads can matter: one writes what the other reads or writes. */
export function dependent(a: Footprint, b: Footprint): boolean {
  return meet(a.writes, b.writes) || meet(a.writes, b.reads) || meet(a.reads, b.writes);
}

function meet(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  for (const cell of small) if (large.has(cell)) return true;
  return false;
}
