import { FRAME_END } from '@heki/physical-memory';
import { boundaryOf, CHUNK_CAPACITY, type Chunk, closeGap, createChunk, moveTail, openGap } from './chunk.ts';

/** Neighbours whose boundaries fit together in this many become one chunk: full enough, yet with room to grow. */
const MERGED_LENGTH = (CHUNK_CAPACITY * 3) / 4;

/**
 * A value for every frame from 0 to 2^40 - 1, kept as the ordered boundaries at which the value changes: a tree of
 * two levels, whose inner one is a single array of the chunks' first frames. `undefined` is a value like any other
 * here: it fills what nobody set.
 *
 * Adjacent boundaries never have equal values, the first boundary is at frame 0, and no chunk is empty. Functions that
 * are handed in must neither throw nor use the map.
 */
export class ExtentMap<Value> {
  readonly #chunks: Chunk<Value>[] = [];
  /** The first boundary of each chunk. */
  #firsts = new Float64Array(16);
  /** The chunk of the latest look-up: most follow one another. */
  #latest = 0;
  /** Where {@link #makeRoom} made room. */
  #roomChunk = 0;
  #roomAt = 0;

  constructor() {
    this.clear();
  }

  clear(): void {
    const chunk = createChunk<Value>();
    chunk.length = 1;
    this.#chunks.length = 0;
    this.#chunks.push(chunk);
    this.#firsts[0] = 0;
    this.#latest = 0;
  }

  get(frame: number): Value | undefined {
    const chunk = this.#chunk(this.#chunkOf(frame));
    return chunk.values[boundaryOf(chunk, frame)];
  }

  /** The frame at which the extent of `frame` begins. */
  startOf(frame: number): number {
    const chunk = this.#chunk(this.#chunkOf(frame));
    return chunk.starts[boundaryOf(chunk, frame)] ?? 0;
  }

  /** The frame at which the extent of `frame` ends, exclusive. */
  endOf(frame: number): number {
    const number = this.#chunkOf(frame);
    return this.#end(number, boundaryOf(this.#chunk(number), frame));
  }

  /**
   * Asks `test` about every extent, cut to `start` .. `end` - 1, in order, until it answers `wanted`. Whether it did.
   */
  some(
    start: number,
    end: number,
    test: (value: Value | undefined, start: number, end: number) => boolean,
    wanted: boolean,
  ): boolean {
    if (start >= end) return false;
    let number = this.#chunkOf(start);
    let index = boundaryOf(this.#chunk(number), start);
    for (let from = start; from < end; ) {
      const chunk = this.#chunk(number);
      for (; index < chunk.length && from < end; index++) {
        const to = Math.min(this.#end(number, index), end);
        if (test(chunk.values[index], from, to) === wanted) return true;
        from = to;
      }
      number++;
      index = 0;
    }
    return false;
  }

  /** Replaces the value of every extent, cut to `start` .. `end` - 1, by what `transform` gives, in order. */
  update(
    start: number,
    end: number,
    transform: (value: Value | undefined, start: number, end: number) => Value | undefined,
  ): void {
    if (start >= end) return;
    const number = this.#chunkOf(start);
    const chunk = this.#chunk(number);
    const index = boundaryOf(chunk, start);
    if (end > this.#end(number, index)) {
      this.#rewrite(start, end, transform);
      return;
    }
    const old = chunk.values[index];
    const value = transform(old, start, end);
    if (value !== old) this.#replace(number, index, start, end, value);
  }

  #chunk(number: number): Chunk<Value> {
    return this.#chunks[number] as Chunk<Value>;
  }

  /** Number of the chunk whose extents hold `frame`. */
  #chunkOf(frame: number): number {
    const firsts = this.#firsts;
    const count = this.#chunks.length;
    const latest = this.#latest;
    if ((firsts[latest] ?? 0) <= frame && (latest + 1 >= count || frame < (firsts[latest + 1] ?? 0))) {
      return latest;
    }
    let low = 0;
    let high = count;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((firsts[middle] ?? 0) <= frame) low = middle;
      else high = middle;
    }
    this.#latest = low;
    return low;
  }

  /** Exclusive end of the extent of a boundary. */
  #end(number: number, index: number): number {
    const chunk = this.#chunk(number);
    if (index + 1 < chunk.length) return chunk.starts[index + 1] ?? 0;
    return number + 1 < this.#chunks.length ? (this.#firsts[number + 1] ?? 0) : FRAME_END;
  }

  /** The value of the extent before a boundary; `none` when the boundary is the very first. */
  #valueBefore(number: number, index: number, none: Value | undefined): Value | undefined {
    if (index > 0) return this.#chunk(number).values[index - 1];
    if (number === 0) return none;
    const before = this.#chunk(number - 1);
    return before.values[before.length - 1];
  }

  /** Gives `start` .. `end` - 1, all inside the extent of one boundary, another value. */
  #replace(number: number, index: number, start: number, end: number, value: Value | undefined): void {
    const chunk = this.#chunk(number);
    const old = chunk.values[index];
    const extentEnd = this.#end(number, index);
    const keepsHead = start > (chunk.starts[index] ?? 0);
    const keepsTail = end < extentEnd;
    const joinsBefore = !keepsHead && this.#valueBefore(number, index, old) === value;
    const joinsAfter = !keepsTail && extentEnd < FRAME_END && this.#firstValueAt(number, index + 1) === value;

    if (keepsTail) {
      if (joinsBefore) {
        this.#setStart(number, index, end);
      } else if (keepsHead) {
        this.#insert(number, index + 1, 2, start, value, end, old);
      } else {
        chunk.values[index] = value;
        this.#insert(number, index + 1, 1, end, old, end, old);
      }
      return;
    }
    if (joinsAfter) {
      // The extent behind grows down over this one.
      if (index + 1 < chunk.length) this.#setStart(number, index + 1, start);
      else this.#setStart(number + 1, 0, start);
      if (!keepsHead) this.#remove(number, index);
      if (joinsBefore) this.#removeAt(start);
      return;
    }
    if (keepsHead) this.#insert(number, index + 1, 1, start, value, start, value);
    else if (joinsBefore) this.#remove(number, index);
    else chunk.values[index] = value;
  }

  #firstValueAt(number: number, index: number): Value | undefined {
    const chunk = this.#chunk(number);
    return index < chunk.length ? chunk.values[index] : this.#chunk(number + 1).values[0];
  }

  #setStart(number: number, index: number, start: number): void {
    this.#chunk(number).starts[index] = start;
    if (index === 0) this.#firsts[number] = start;
  }

  /** Inserts one or two boundaries before boundary `index`, or behind the last. */
  #insert(
    number: number,
    index: number,
    count: 1 | 2,
    start: number,
    value: Value | undefined,
    secondStart: number,
    secondValue: Value | undefined,
  ): void {
    this.#makeRoom(number, index, count);
    const chunk = this.#chunk(this.#roomChunk);
    const at = this.#roomAt;
    openGap(chunk, at, count);
    chunk.starts[at] = start;
    chunk.values[at] = value;
    if (count === 2) {
      chunk.starts[at + 1] = secondStart;
      chunk.values[at + 1] = secondValue;
    }
    if (at === 0) this.#firsts[this.#roomChunk] = start;
  }

  /** Sees to it that `count` boundaries fit in at `index`, and says where that is now. */
  #makeRoom(number: number, index: number, count: number): void {
    this.#roomChunk = number;
    this.#roomAt = index;
    const chunk = this.#chunk(number);
    if (chunk.length + count <= CHUNK_CAPACITY) return;
    const next = createChunk<Value>();
    // Behind the last boundary a new chunk begins, so that ascending insertions leave full chunks.
    const keep = index === chunk.length ? index : chunk.length >>> 1;
    moveTail(chunk, keep, next);
    this.#insertChunk(number + 1, next);
    if (index > keep || next.length === 0) {
      this.#roomChunk = number + 1;
      this.#roomAt = index - keep;
    }
  }

  #insertChunk(number: number, chunk: Chunk<Value>): void {
    const count = this.#chunks.length;
    if (count === this.#firsts.length) {
      const firsts = new Float64Array(count * 2);
      firsts.set(this.#firsts);
      this.#firsts = firsts;
    }
    this.#firsts.copyWithin(number + 1, number, count);
    this.#firsts[number] = chunk.starts[0] ?? 0;
    this.#chunks.splice(number, 0, chunk);
  }

  #remove(number: number, index: number): void {
    const chunk = this.#chunk(number);
    closeGap(chunk, index, index + 1);
    this.#firsts[number] = chunk.starts[0] ?? 0;
    if (chunk.length < CHUNK_CAPACITY / 4) this.#tidy(number, number);
  }

  #removeAt(start: number): void {
    const number = this.#chunkOf(start);
    this.#remove(number, boundaryOf(this.#chunk(number), start));
  }

  /** Makes `frame` a boundary, if it is none, although the value does not change there. */
  #split(frame: number): void {
    const number = this.#chunkOf(frame);
    const chunk = this.#chunk(number);
    const index = boundaryOf(chunk, frame);
    const value = chunk.values[index];
    if (chunk.starts[index] !== frame) this.#insert(number, index + 1, 1, frame, value, frame, value);
  }

  /** {@link update} over more than one extent: in place, dropping the boundaries at which nothing changes any more. */
  #rewrite(
    start: number,
    end: number,
    transform: (value: Value | undefined, start: number, end: number) => Value | undefined,
  ): void {
    this.#split(start);
    if (end < FRAME_END) this.#split(end);
    const first = this.#chunkOf(start);
    let number = first;
    let index = boundaryOf(this.#chunk(number), start);
    let hasBefore = number > 0 || index > 0;
    let before = this.#valueBefore(number, index, undefined);
    let dropped = false;
    for (let inside = true; inside && number < this.#chunks.length; number++) {
      const chunk = this.#chunk(number);
      const { starts, values, length } = chunk;
      let write = index;
      let read = index;
      for (; inside && read < length; read++) {
        const from = starts[read] ?? 0;
        let value = values[read];
        inside = from < end;
        if (inside) value = transform(value, from, this.#end(number, read));
        if (!hasBefore || value !== before) {
          starts[write] = from;
          values[write] = value;
          write++;
        }
        hasBefore = true;
        before = value;
      }
      if (write < read) {
        closeGap(chunk, write, read);
        dropped = true;
      }
      index = 0;
    }
    if (dropped) this.#tidy(first, number - 1);
  }

  /** Drops empty chunks and joins small neighbours in the chunks `from` .. `to`, which may have lost boundaries. */
  #tidy(from: number, to: number): void {
    const chunks = this.#chunks;
    const begin = Math.max(from - 1, 0);
    const last = Math.min(to + 1, chunks.length - 1);
    let kept = begin;
    for (let number = begin + 1; number <= last; number++) {
      const chunk = this.#chunk(number);
      const target = this.#chunk(kept);
      if (chunk.length === 0) continue;
      if (target.length === 0) chunks[kept] = chunk;
      else if (target.length + chunk.length <= MERGED_LENGTH) moveTail(chunk, 0, target);
      else chunks[++kept] = chunk;
    }
    for (let number = begin; number <= kept; number++) {
      this.#firsts[number] = this.#chunk(number).starts[0] ?? 0;
    }
    if (kept === last) return;
    this.#firsts.copyWithin(kept + 1, last + 1, chunks.length);
    chunks.splice(kept + 1, last - kept);
    this.#latest = 0;
  }
}
