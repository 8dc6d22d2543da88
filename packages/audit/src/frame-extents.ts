import type { Gfn } from '@heki/physical-memory';
import type { Mapping, PlaceName } from './mapping.ts';
import { Rights } from './rights.ts';

/** Frames with the same mappings. */
export interface FrameExtent {
  readonly start: Gfn;
  readonly end: Gfn;
  /** What all mappings together allow, an OR of `Rights`. */
  readonly rights: number;
  /** How many leaves map it. */
  readonly mappingCount: number;
  /** Those mappings; of more than `MOST_MAPPINGS_LISTED` at least the first of each region, size and rights. */
  readonly mappings: readonly Mapping[];
}

/**
 * A frame of zeros may be mapped at any number of addresses: more than these are counted, and listed only where no other of their region
 * has their size and rights, so that nobody hides the mapping that counts behind many that do not.
 */
const MOST_MAPPINGS_LISTED = 64;

const { READ, WRITE, EXECUTE, USER } = Rights;
/** One more than all of them together. */
const ALL_RIGHTS = 2 * USER;
/** Leaves are of 4 KiB, 2 MiB or 1 GiB. */
const SIZES = 3;

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
  /** All in one list. */
  readonly #all: IndexLists;
  /** A list for each kind: a region, a size and rights. */
  readonly #kinds: Uint16Array;
  readonly #byKind: IndexLists;
  #writable = 0;
  #executable = 0;
  #user = 0;

  constructor(mappings: readonly Mapping[]) {
    this.#mappings = mappings;
    this.#all = new IndexLists(1, mappings.length);
    this.#kinds = new Uint16Array(mappings.length);
    const regions = new Map<PlaceName, number>();
    for (let index = 0; index < mappings.length; index++) {
      const { region = 'hole', level = 1, rights = 0 } = mappings[index] ?? {};
      const of = regions.get(region) ?? regions.size;
      if (of === regions.size) regions.set(region, of);
      this.#kinds[index] = (of * SIZES + level - 1) * ALL_RIGHTS + rights;
    }
    this.#byKind = new IndexLists(regions.size * SIZES * ALL_RIGHTS, mappings.length);
  }

  add(index: number): void {
    this.#all.add(0, index);
    this.#byKind.add(this.#kinds[index] ?? 0, index);
    this.#tally(index, 1);
  }

  remove(index: number): void {
    this.#all.remove(0, index);
    this.#byKind.remove(this.#kinds[index] ?? 0, index);
    this.#tally(index, -1);
  }

  extent(start: Gfn, end: Gfn): FrameExtent {
    const rights =
      READ |
      (this.#writable > 0 ? WRITE : 0) |
      (this.#executable > 0 ? EXECUTE : 0) |
      (this.#user > 0 ? USER : 0);
    return { start, end, rights, mappingCount: this.count, mappings: this.#listed() };
  }

  #listed(): Mapping[] {
    const listed: Mapping[] = [];
    const isWhole = this.count <= MOST_MAPPINGS_LISTED;
    if (!isWhole) {
      for (let kind = 0; kind < this.#byKind.lists; kind++) this.#list(listed, this.#byKind.first(kind));
    }
    for (let index = this.#all.first(0); index >= 0; index = this.#all.next(index)) {
      if (listed.length >= MOST_MAPPINGS_LISTED) break;
      if (isWhole || this.#byKind.first(this.#kinds[index] ?? 0) !== index) this.#list(listed, index);
    }
    return listed;
  }

  #list(listed: Mapping[], index: number): void {
    const mapping = this.#mappings[index];
    if (mapping !== undefined) listed.push(mapping);
  }

  #tally(index: number, by: 1 | -1): void {
    const rights = this.#mappings[index]?.rights ?? 0;
    this.count += by;
    if ((rights & WRITE) !== 0) this.#writable += by;
    if ((rights & EXECUTE) !== 0) this.#executable += by;
    if ((rights & USER) !== 0) this.#user += by;
  }
}

/** Lists of indices, each index in one of them or none: added at the end, removed anywhere. */
class IndexLists {
  readonly lists: number;

  /** By list, and by index; one more than an index, 0 for none. */
  readonly #first: Uint32Array;
  readonly #last: Uint32Array;
  readonly #next: Uint32Array;
  readonly #before: Uint32Array;

  constructor(lists: number, indices: number) {
    this.lists = lists;
    this.#first = new Uint32Array(lists);
    this.#last = new Uint32Array(lists);
    this.#next = new Uint32Array(indices);
    this.#before = new Uint32Array(indices);
  }

  /** The first of `list`; -1 for none. */
  first(list: number): number {
    return (this.#first[list] ?? 0) - 1;
  }

  /** The one behind `index` in its list; -1 for none. */
  next(index: number): number {
    return (this.#next[index] ?? 0) - 1;
  }

  add(list: number, index: number): void {
    const last = this.#last[list] ?? 0;
    if (last === 0) this.#first[list] = index + 1;
    else this.#next[last - 1] = index + 1;
    this.#before[index] = last;
    this.#next[index] = 0;
    this.#last[list] = index + 1;
  }

  remove(list: number, index: number): void {
    const before = this.#before[index] ?? 0;
    const next = this.#next[index] ?? 0;
    if (before === 0) this.#first[list] = next;
    else this.#next[before - 1] = next;
    if (next === 0) this.#last[list] = before;
    else this.#before[next - 1] = before;
  }
}
