/** Frames that are alike. */
export interface Run {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Runs in place of more of them than a page should carry. */
export interface BoundedRuns<Value extends Run> {
  readonly runs: readonly Value[];
  /** Frames of the blocks within which runs were put together; 0 where none was. */
  readonly block: number;
}

/** 2 MiB, within which memory mostly falls into pieces. */
const FIRST_BLOCK = 512;
const LARGER = 8;

/**
 * At most `most` runs: where there are more, those within one block of memory become one, in the smallest blocks that do. A run that
 * crosses the edge of a block stays as it is.
 *
 * @param runs ascending and apart
 * @param most at least 1
 * @param merge makes one run, from the first to the last frame, of two or more
 */
export function boundedRuns<Value extends Run>(
  runs: readonly Value[],
  most: number,
  merge: (group: readonly Value[]) => Value,
): BoundedRuns<Value> {
  let block = 0;
  let bounded = runs;
  // No block is larger than all memory: with that one, all runs are one.
  while (bounded.length > most) {
    block = block === 0 ? FIRST_BLOCK : block * LARGER;
    bounded = mergedWithin(runs, block, merge);
  }
  return { runs: bounded, block };
}

function mergedWithin<Value extends Run>(
  runs: readonly Value[],
  block: number,
  merge: (group: readonly Value[]) => Value,
): Value[] {
  const merged: Value[] = [];
  let group: Value[] = [];
  let groupBlock = -1;
  const close = (): void => {
    const [first] = group;
    if (first !== undefined) merged.push(group.length === 1 ? first : merge(group));
    group = [];
  };
  for (const run of runs) {
    const at = Math.floor(run.start / block);
    const isWithin = Math.floor((run.end - 1) / block) === at;
    if (!isWithin || at !== groupBlock) close();
    groupBlock = isWithin ? at : -1;
    if (isWithin) group.push(run);
    else merged.push(run);
  }
  close();
  return merged;
}
