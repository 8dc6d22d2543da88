import type { FrameRange, Gfn } from '@heki/physical-memory';

/** Leaves by their size. */
export interface LeafCounts {
  readonly '1G': number;
  readonly '2M': number;
  readonly '4K': number;
}

/** What a second level maps RAM with, when it uses the largest leaf that fits. */
export interface SecondLevelLeaves {
  /** Of RAM without rights of its own. */
  readonly before: LeafCounts;
  /** With a leaf for each stretch of equal rights. */
  readonly after: LeafCounts;
  /** 1-GiB and 2-MiB pages of `before` in which rights change, so that smaller leaves take their place. */
  readonly lost: Omit<LeafCounts, '4K'>;
}

const GIB = 2 ** 18;
const HUGE = 512;

/**
 * The leaves by which a second level maps `ram`, before and after rights change at `edges`.
 *
 * @param ram ascending and apart
 * @param edges frames at which other rights begin, ascending
 * @param largest frames of the largest leaf that the hypervisor makes
 */
export function secondLevelLeaves(
  ram: readonly FrameRange<Gfn>[],
  edges: readonly number[],
  largest: 1 | 512 | 262144,
): SecondLevelLeaves {
  const before = countLeaves(ram, [], largest);
  const after = countLeaves(ram, edges, largest);
  return {
    before,
    after,
    lost: {
      '1G': before['1G'] - after['1G'],
      // The parts that a GiB falls into are not lost.
      '2M': before['2M'] + (before['1G'] - after['1G']) * (GIB / HUGE) - after['2M'],
    },
  };
}

function countLeaves(
  ram: readonly FrameRange<Gfn>[],
  edges: readonly number[],
  largest: 1 | 512 | 262144,
): LeafCounts {
  const counts = { '1G': 0, '2M': 0, '4K': 0 };
  let edge = 0;
  for (const { start, end } of ram) {
    for (let at: number = start; at < end; ) {
      while ((edges[edge] ?? Number.POSITIVE_INFINITY) <= at) edge++;
      const until = Math.min(end, edges[edge] ?? end);
      if (largest >= GIB && at % GIB === 0 && at + GIB <= until) {
        counts['1G']++;
        at += GIB;
      } else if (largest >= HUGE && at % HUGE === 0 && at + HUGE <= until) {
        counts['2M']++;
        at += HUGE;
      } else {
        const next = Math.min(until, largest >= HUGE ? at - (at % HUGE) + HUGE : until);
        counts['4K'] += next - at;
        at = next;
      }
    }
  }
  return counts;
}
