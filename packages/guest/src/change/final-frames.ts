import { MEM_ATTR_EXEC, MEM_ATTR_IMMUTABLE, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { RangeSink } from '../counters/page-counters.ts';

const WRITE_EXEC = MEM_ATTR_WRITE | MEM_ATTR_EXEC;

/** While memory is protected: only frames that are what they will be for good become immutable (the mend of B-G16). */
export class FinalFrames implements RangeSink {
  readonly #sink: RangeSink;
  readonly #final: readonly FrameRange<Gfn>[] | undefined;

  /** Frames that were writable and executable. */
  writableExecutable = 0;

  /** @param final the frames that may become immutable, ascending; `undefined`: all */
  constructor(sink: RangeSink, final: readonly FrameRange<Gfn>[] | undefined) {
    this.#sink = sink;
    this.#final = final;
  }

  add(start: Gfn, end: Gfn, permissions: number, before: number): void {
    if ((permissions & WRITE_EXEC) === WRITE_EXEC) this.writableExecutable += end - start;
    if (this.#final === undefined || (permissions & MEM_ATTR_IMMUTABLE) === 0) {
      this.#sink.add(start, end, permissions, before);
      return;
    }
    const changeable = permissions & ~MEM_ATTR_IMMUTABLE;
    let at = start;
    for (const final of this.#final) {
      if (final.end <= at) continue;
      if (final.start >= end) break;
      if (final.start > at) this.#sink.add(at, final.start, changeable, before);
      const from = Math.max(final.start, at) as Gfn;
      at = Math.min(final.end, end) as Gfn;
      this.#sink.add(from, at, permissions, before);
    }
    if (at < end) this.#sink.add(at, end, changeable, before);
  }
}
