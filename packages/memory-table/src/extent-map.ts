import { FRAME_END } from '@heki/physical-memory';
import { boundaryOf, CHUNK_CAPACITY, type Chunk, closeGap, createChunk, moveTail, openGap } from './chunk.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { ExtentReader } from './extent-reader.ts';

/** Neighbours whose boundaries fit together in this many become one chunk: full enough, yet with room to grow. */
const MERGED_LENGTH = (CHUNK_CAPACITY * 3) / 4;

/** Asked about the frames `start` .. `end` - 1, which have `code`. */
export type CodeTest = (code: number, start: number, end: number) => boolean;
/** Gives the frames `start` .. `end` - 1, which have `code`, another one. */
export type CodeTransform = (code: number, start: number, end: number) => number;
/** The same for one of several ranges, the one with this index. */
export type CodeTransformOf = (code: number, start: number, end: number, index: number) => number;

/**
 * A 32-bit code for every frame from 0 to 2^40 - 1, 0 until it is set, kept as the ordered boundaries at which the
 * code changes: a tree of two levels, whose inner one is a single array of the chunks' first frames.
 *
 * Adjacent boundaries never have equal codes, the first boundary is at frame 0, and no chunk is empty. Functions that
 * are handed in must neither throw nor use the map.
 */
export class ExtentMap {
  readonly #chunks: Chunk[] = [];
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
    const chunk = this.#chunks[0] ?? createChunk();
    chunk.starts[0] = 0;
    chunk.codes[0] = 0;
    chunk.length = 1;
    this.#chunks.length = 0;
    this.#chunks.push(chunk);
    this.#firsts[0] = 0;
    this.#latest = 0;
  }

  get(frame: number): number {
    const chunk = this.#chunk(this.#chunkOf(frame));
    return chunk.codes[boundaryOf(chunk, frame)] ?? 0;
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
  some(start: number, end: number, test: CodeTest, wanted: boolean): boolean {
    if (start >= end) return false;
    let number = this.#chunkOf(start);
    let index = boundaryOf(this.#chunk(number), start);
    for (let from = start; from < end; ) {
      const chunk = this.#chunk(number);
      for (; index < chunk.length && from < end; index++) {
        const to = Math.min(this.#end(number, index), end);
        if (test(chunk.codes[index] ?? 0, from, to) === wanted) return true;
        from = to;
      }
      number++;
      index = 0;
    }
    return false;
  }

  /** Replaces the code of every extent, cut to `start` .. `end` - 1, by what `transform` gives, in order. */
  update(start: number, end: number, transform: CodeTransform): void {
    if (start >= end) return;
    const number = this.#chunkOf(start);
    const chunk = this.#chunk(number);
    const index = boundaryOf(chunk, start);
    if (end > this.#end(number, index)) {
      this.#rewrite(start, end, transform);
      return;
    }
    const old = chunk.codes[index] ?? 0;
    const code = transform(old, start, end);
    if (code !== old) this.#replace(number, index, start, end, code);
  }

  /**
   * {@link update} for `count` ranges `starts[i]` .. `starts[i] + lengths[i]` - 1 that ascend and do not overlap: in one
   * pass over all that lies between the first and the last, if there are enough of them.
   */
  updateAscending(
    starts: Float64Array,
    lengths: Uint32Array,
    count: number,
    transform: CodeTransformOf,
  ): void {
    if (count <= this.#chunks.length) {
      for (let index = 0; index < count; index++) {
        const start = starts[index] ?? 0;
        this.update(start, start + (lengths[index] ?? 0), (code, from, to) =>
          transform(code, from, to, index),
        );
      }
      return;
    }
    const first = this.#chunkOf(starts[0] ?? 0);
    const reader = new ExtentReader(this.#chunks, first);
    const writer = new ChunkWriter(this.#codeBefore(first, 0, -1));
    for (let index = 0; index < count; index++) {
      const start = starts[index] ?? 0;
      const end = start + (lengths[index] ?? 0);
      while (reader.end <= start) {
        writer.put(reader.start, reader.code);
        reader.next();
      }
      if (reader.start < start) {
        writer.put(reader.start, reader.code);
        reader.start = start;
      }
      while (reader.start < end) {
        const to = Math.min(reader.end, end);
        writer.put(reader.start, transform(reader.code, reader.start, to, index));
        if (to === reader.end) reader.next();
        else reader.start = to;
      }
    }
    // Chunks are replaced whole.
    const { number } = reader;
    while (reader.start < FRAME_END && reader.number === number) {
      writer.put(reader.start, reader.code);
      reader.next();
    }
    this.#replaceChunks(first, number, writer.chunks);
  }

  #chunk(number: number): Chunk {
    return this.#chunks[number] as Chunk;
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

  /** The code of the extent before a boundary; `none` when the boundary is the very first. */
  #codeBefore(number: number, index: number, none: number): number {
    if (index > 0) return this.#chunk(number).codes[index - 1] ?? 0;
    if (number === 0) return none;
    const before = this.#chunk(number - 1);
    return before.codes[before.length - 1] ?? 0;
  }

  /** Gives `start` .. `end` - 1, all inside the extent of one boundary, another code. */
  #replace(number: number, index: number, start: number, end: number, code: number): void {
    const chunk = this.#chunk(number);
    const old = chunk.codes[index] ?? 0;
    const extentEnd = this.#end(number, index);
    const keepsHead = start > (chunk.starts[index] ?? 0);
    const keepsTail = end < extentEnd;
    const joinsBefore = !keepsHead && this.#codeBefore(number, index, old) === code;
    const joinsAfter = !keepsTail && extentEnd < FRAME_END && this.#firstCodeAt(number, index + 1) === code;

    if (keepsTail) {
      if (joinsBefore) {
        this.#setStart(number, index, end);
      } else if (keepsHead) {
        this.#insert(number, index + 1, 2, start, code, end, old);
      } else {
        chunk.codes[index] = code;
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
    if (keepsHead) this.#insert(number, index + 1, 1, start, code, start, code);
    else if (joinsBefore) this.#remove(number, index);
    else chunk.codes[index] = code;
  }

  #firstCodeAt(number: number, index: number): number {
    const chunk = this.#chunk(number);
    return (index < chunk.length ? chunk.codes[index] : this.#chunk(number + 1).codes[0]) ?? 0;
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
    code: number,
    secondStart: number,
    secondCode: number,
  ): void {
    this.#makeRoom(number, index, count);
    const chunk = this.#chunk(this.#roomChunk);
    const at = this.#roomAt;
    openGap(chunk, at, count);
    chunk.starts[at] = start;
    chunk.codes[at] = code;
    if (count === 2) {
      chunk.starts[at + 1] = secondStart;
      chunk.codes[at + 1] = secondCode;
    }
    if (at === 0) this.#firsts[this.#roomChunk] = start;
  }

  /** Sees to it that `count` boundaries fit in at `index`, and says where that is now. */
  #makeRoom(number: number, index: number, count: number): void {
    this.#roomChunk = number;
    this.#roomAt = index;
    const chunk = this.#chunk(number);
    if (chunk.length + count <= CHUNK_CAPACITY) return;
    const next = createChunk();
    // Behind the last boundary a new chunk begins, so that ascending insertions leave full chunks.
    const keep = index === chunk.length ? index : chunk.length >>> 1;
    moveTail(chunk, keep, next);
    this.#insertChunk(number + 1, next);
    if (index > keep || next.length === 0) {
      this.#roomChunk = number + 1;
      this.#roomAt = index - keep;
    }
  }

  #insertChunk(number: number, chunk: Chunk): void {
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

  /** Puts `chunks` in place of the chunks `from` .. `to`. */
  #replaceChunks(from: number, to: number, chunks: readonly Chunk[]): void {
    const all = [...this.#chunks.slice(0, from), ...chunks, ...this.#chunks.slice(to + 1)];
    if (all.length > this.#firsts.length) this.#firsts = new Float64Array(all.length * 2);
    this.#chunks.length = 0;
    for (const [number, chunk] of all.entries()) {
      this.#chunks.push(chunk);
      this.#firsts[number] = chunk.starts[0] ?? 0;
    }
    this.#latest = 0;
    // What follows may go on with the code that was written last.
    const next = from + chunks.length;
    const follower = this.#chunks[next];
    if (follower !== undefined && this.#codeBefore(next, 0, -1) === follower.codes[0]) this.#remove(next, 0);
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

  /** Makes `frame` a boundary, if it is not one, although the code does not change there. */
  #split(frame: number): void {
    const number = this.#chunkOf(frame);
    const chunk = this.#chunk(number);
    const index = boundaryOf(chunk, frame);
    const code = chunk.codes[index] ?? 0;
    if (chunk.starts[index] !== frame) this.#insert(number, index + 1, 1, frame, code, frame, code);
  }

  /** {@link update} over more than one extent: in place, dropping the boundaries at which nothing changes any more. */
  #rewrite(start: number, end: number, transform: CodeTransform): void {
    this.#split(start);
    if (end < FRAME_END) this.#split(end);
    const first = this.#chunkOf(start);
    let number = first;
    let index = boundaryOf(this.#chunk(number), start);
    let hasBefore = number > 0 || index > 0;
    let before = this.#codeBefore(number, index, 0);
    let dropped = false;
    for (let inside = true; inside && number < this.#chunks.length; number++) {
      const chunk = this.#chunk(number);
      const { starts, codes, length } = chunk;
      let write = index;
      let read = index;
      for (; inside && read < length; read++) {
        const from = starts[read] ?? 0;
        let code = codes[read] ?? 0;
        inside = from < end;
        if (inside) code = transform(code, from, this.#end(number, read));
        if (!hasBefore || code !== before) {
          starts[write] = from;
          codes[write] = code;
          write++;
        }
        hasBefore = true;
        before = code;
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
