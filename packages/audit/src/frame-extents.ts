import type { Gfn } from '@heki/physical-memory';
import type { Mapping } from './mapping.ts';
import { Rights } from './rights.ts';

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
const MOST_MAPPINGS_LISTED = 64;

const { READ, WRITE, EXECUTE, USER } = Rights;

/**
 * Frames by what maps them, ascending: a sweep over where leaves begin and end, O(n log n) for n leaves. Frames that nothing maps
 * are in no extent.
 */
export function frameExtents(mappings: readonly Mapping[]): FrameExtent[] {
  const total = mappings.length;
  const starts = new Float64Array(total);
  const ends = new Float64Array(total);
  for (let index = 0; index < total; index++) {
    const mapping = mappings[index];
    if (mapping === undefined) continue;
    starts[index] = mapping.guestFrame;
    ends[index] = mapping.guestFrame + mapping.frames;
  }
  const byStart = ascending(starts);
  const byEnd = ascending(ends);
  const active = new ActiveMappings(mappings);
  const extents: FrameExtent[] = [];
  let at = 0;
  let started = 0;
  let ended = 0;
  while (ended < total) {
    const end = ends[byEnd[ended] ?? 0] ?? 0;
    const boundary = started < total ? Math.min(end, starts[byStart[started] ?? 0] ?? end) : end;
    if (active.count > 0 && boundary > at) extents.push(active.extent(at as Gfn, boundary as Gfn));
    at = boundary;
    while (ended < total && ends[byEnd[ended] ?? 0] === at) active.remove(byEnd[ended++] ?? 0);
    while (started < total && starts[byStart[started] ?? 0] === at) active.add(byStart[started++] ?? 0);
  }
  return extents;
}

/** The indices of `values` in the order of these; equal ones in their own. */
function ascending(values: Float64Array): Uint32Array {
  const { length } = values;
  const order = new Uint32Array(length);
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  if ((largest + 1) * length > Number.MAX_SAFE_INTEGER) {
    for (let index = 0; index < length; index++) order[index] = index;
    return order.sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0) || a - b);
  }
  // Numbers sort ten times faster than what a function compares.
  const keys = values.map((value, index) => value * length + index).sort();
  for (let index = 0; index < length; index++) order[index] = (keys[index] ?? 0) % length;
  return order;
}

/** The mappings of the frame that a sweep is at, in the order in which it came to them. */
class ActiveMappings {
  count = 0;

  readonly #mappings: readonly Mapping[];
  /** A list through all of them; one more than an index, 0 for none. */
  readonly #next: Uint32Array;
  readonly #before: Uint32Array;
  #first = 0;
  #last = 0;
  #writable = 0;
  #executable = 0;
  #user = 0;

  constructor(mappings: readonly Mapping[]) {
    this.#mappings = mappings;
    this.#next = new Uint32Array(mappings.length + 1);
    this.#before = new Uint32Array(mappings.length + 1);
  }

  add(index: number): void {
    const link = index + 1;
    if (this.#last === 0) this.#first = link;
    else this.#next[this.#last] = link;
    this.#before[link] = this.#last;
    this.#next[link] = 0;
    this.#last = link;
    this.#tally(index, 1);
  }

  remove(index: number): void {
    const link = index + 1;
    const before = this.#before[link] ?? 0;
    const next = this.#next[link] ?? 0;
    if (before === 0) this.#first = next;
    else this.#next[before] = next;
    if (next === 0) this.#last = before;
    else this.#before[next] = before;
    this.#tally(index, -1);
  }

  extent(start: Gfn, end: Gfn): FrameExtent {
    const mappings: Mapping[] = [];
    for (let link = this.#first; link !== 0; link = this.#next[link] ?? 0) {
      const mapping = this.#mappings[link - 1];
      if (mappings.length === MOST_MAPPINGS_LISTED || mapping === undefined) break;
      mappings.push(mapping);
    }
    const rights =
      READ |
      (this.#writable > 0 ? WRITE : 0) |
      (this.#executable > 0 ? EXECUTE : 0) |
      (this.#user > 0 ? USER : 0);
    return { start, end, rights, mappingCount: this.count, mappings };
  }

  #tally(index: number, by: 1 | -1): void {
    const rights = this.#mappings[index]?.rights ?? 0;
    this.count += by;
    if ((rights & WRITE) !== 0) this.#writable += by;
    if ((rights & EXECUTE) !== 0) this.#executable += by;
    if ((rights & USER) !== 0) this.#user += by;
  }
}
