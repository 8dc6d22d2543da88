import type { Gfn } from '@heki/physical-memory';
import type { Mapping } from './mapping.ts';

/** Frames with the same mappings. */
export interface FrameExtent {
  readonly start: Gfn;
  readonly end: Gfn;
  /** What all mappings together allow, an OR of `Rights`. */
  readonly rights: number;
  /** How many leaves map it. */
  readonly mappingCount: number;
  /** Those mappings, at most {@link MOST_MAPPINGS_LISTED} of them. */
  readonly mappings: readonly Mapping[];
}

/** A frame of zeros may be mapped at any number of addresses: more than these are counted and not listed. */
export const MOST_MAPPINGS_LISTED = 64;

/** The rights that are counted; READ comes with every mapping. */
const COUNTED = [1, 2, 4, 8] as const;

/**
 * Frames by what maps them, ascending: a sweep over where leaves begin and end, O(n log n) for n leaves. Frames that nothing maps
 * are in no extent.
 */
export function frameExtents(mappings: readonly Mapping[]): FrameExtent[] {
  const byStart = [...mappings].sort((a, b) => a.guestFrame - b.guestFrame);
  const byEnd = [...mappings].sort((a, b) => a.guestFrame + a.frames - (b.guestFrame + b.frames));
  const counts = [0, 0, 0, 0];
  const active = new Set<Mapping>();
  const extents: FrameExtent[] = [];
  const count = ({ rights }: Mapping, by: 1 | -1): void => {
    for (const [index, right] of COUNTED.entries()) {
      if ((rights & right) !== 0) counts[index] = (counts[index] ?? 0) + by;
    }
  };
  let at = 0;
  let started = 0;
  let ended = 0;
  while (ended < byEnd.length) {
    const nextEnd = byEnd[ended];
    const nextStart = byStart[started];
    if (nextEnd === undefined) break;
    const end = nextEnd.guestFrame + nextEnd.frames;
    const boundary = Math.min(end, nextStart?.guestFrame ?? end);
    if (active.size > 0 && boundary > at) extents.push(extentOf(at, boundary, counts, active));
    at = boundary;
    for (
      let one = byEnd[ended];
      one !== undefined && one.guestFrame + one.frames === at;
      one = byEnd[++ended]
    ) {
      active.delete(one);
      count(one, -1);
    }
    for (let one = byStart[started]; one !== undefined && one.guestFrame === at; one = byStart[++started]) {
      active.add(one);
      count(one, 1);
    }
  }
  return extents;
}

function extentOf(
  start: number,
  end: number,
  counts: readonly number[],
  active: ReadonlySet<Mapping>,
): FrameExtent {
  const mappings: Mapping[] = [];
  for (const mapping of active) {
    if (mappings.length === MOST_MAPPINGS_LISTED) break;
    mappings.push(mapping);
  }
  let rights = 0;
  for (const [index, right] of COUNTED.entries()) if ((counts[index] ?? 0) > 0) rights |= right;
  return { start: start as Gfn, end: end as Gfn, rights, mappingCount: active.size, mappings };
}
