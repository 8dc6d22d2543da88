import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { NamedLeaf } from './heki-guest.ts';
import type { PageCounters } from './page-counters.ts';
import { leafPermissions } from './permission.ts';

/**
 * Hands mappings to the counters: those of memory only, and neighbours with equal permissions as one run. Pages of a
 * mapping are dealt with in ascending order, so mappings that follow on from each other are the same as one.
 */
export class LeafFeeder {
  readonly #counters: PageCounters;
  readonly #validFrames: readonly FrameRange<Gfn>[];
  /** B-G15: a mapping counts as a whole, by its first frame. */
  readonly #firstFrameDecides: boolean;
  /** Index of the range of valid frames that ends behind the frame asked for last. */
  #valid = 0;
  #start = 0 as Gfn;
  #end = 0 as Gfn;
  #permissions = 0;

  /** Mappings of which at least one frame was valid; under B-G15, the first. */
  leaves = 0;
  /** Frames that were handed on. */
  frames = 0;

  constructor(counters: PageCounters, validFrames: readonly FrameRange<Gfn>[], firstFrameDecides: boolean) {
    this.#counters = counters;
    this.#validFrames = validFrames;
    this.#firstFrameDecides = firstFrameDecides;
  }

  /** The next mapping, in the order in which the kernel meets them. */
  readonly feed = (leaf: NamedLeaf): void => {
    const { guestFrame, frames } = leaf;
    const end = (guestFrame + frames) as Gfn;
    let range = this.#rangeBehind(guestFrame);
    if (range === undefined) return;
    if (range.start <= guestFrame && (this.#firstFrameDecides || end <= range.end)) {
      this.leaves++;
      this.#run(guestFrame, end, leafPermissions(leaf.low, leaf.high));
      return;
    }
    if (this.#firstFrameDecides || range.start >= end) return;
    this.leaves++;
    const permissions = leafPermissions(leaf.low, leaf.high);
    for (; range !== undefined && range.start < end; range = this.#validFrames[++this.#valid]) {
      this.#run(Math.max(guestFrame, range.start) as Gfn, Math.min(end, range.end) as Gfn, permissions);
    }
  };

  /** Hands on what is still held back. Call it after the last mapping. */
  flush(): void {
    if (this.#start < this.#end) this.#counters.add(this.#start, this.#end, this.#permissions);
    this.#start = this.#end;
  }

  #run(start: Gfn, end: Gfn, permissions: number): void {
    this.frames += end - start;
    if (start === this.#end && permissions === this.#permissions) {
      this.#end = end;
      return;
    }
    this.flush();
    this.#start = start;
    this.#end = end;
    this.#permissions = permissions;
  }

  /** The first range of valid frames that does not end at or before `frame`: most mappings lie in the one before. */
  #rangeBehind(frame: number): FrameRange<Gfn> | undefined {
    const ranges = this.#validFrames;
    const range = ranges[this.#valid];
    const before = ranges[this.#valid - 1];
    if (range !== undefined && frame < range.end && (before === undefined || frame >= before.end)) {
      return range;
    }
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (frame < (ranges[middle]?.end ?? 0)) high = middle;
      else low = middle + 1;
    }
    this.#valid = low;
    return ranges[low];
  }
}
