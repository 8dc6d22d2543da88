import type { FrameRange, Gfn } from '@heki/physical-memory';
import { type RunSink, SortedRuns } from '../counters/sorted-runs.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import { leafPermissions } from '../permission.ts';

/** How mappings are handed on. */
export interface LeafFeederOptions {
  readonly sink: RunSink;
  /** B-G15: a mapping counts as a whole, by its first frame. */
  readonly firstFrameDecides: boolean;
}

/**
 * Hands mappings on: those of memory only, and neighbours with equal permissions as one run. Pages of a mapping are
 * dealt with in ascending order, so mappings that follow on from each other are the same as one.
 */
export class LeafFeeder {
  readonly #runs: RunSink;
  readonly #firstFrameDecides: boolean;
  #validFrames: readonly FrameRange<Gfn>[] = [];
  #gathered: SortedRuns | undefined;
  #sink: Pick<RunSink, 'add'>;
  /** The range of valid frames that the latest mapping lay in. */
  #validStart = 0;
  #validEnd = 0;
  /** The run that is still growing. */
  #start = 0;
  #end = 0;
  #permissions = 0;

  /** Mappings of which at least one frame was valid; under B-G15, the first. */
  leaves = 0;
  /** Frames that were handed on, once for each mapping. */
  frames = 0;

  constructor(options: LeafFeederOptions) {
    this.#runs = options.sink;
    this.#sink = options.sink;
    this.#firstFrameDecides = options.firstFrameDecides;
  }

  /**
   * Begins with the mappings of a call.
   *
   * @param validFrames the frames that are memory, ascending
   * @param anyOrder there are many mappings, and the order in which they are dealt with does not matter
   */
  begin(validFrames: readonly FrameRange<Gfn>[], anyOrder: boolean): void {
    this.#validFrames = validFrames;
    this.#gathered = anyOrder ? new SortedRuns(this.#runs) : undefined;
    this.#sink = this.#gathered ?? this.#runs;
    this.#validStart = 0;
    this.#validEnd = 0;
    this.#start = 0;
    this.#end = 0;
    this.leaves = 0;
    this.frames = 0;
  }

  /** The next mapping, in the order in which the kernel meets them. */
  readonly feed = (leaf: NamedLeaf): void => {
    const start = leaf.guestFrame;
    const end = start + leaf.frames;
    const places = leaf.places ?? 1;
    const inside = start >= this.#validStart && end <= this.#validEnd;
    if (inside || (this.#findRange(start) && (end <= this.#validEnd || this.#firstFrameDecides))) {
      this.leaves += places;
      this.#run(start, end, leafPermissions(leaf.low, leaf.high), places);
    } else if (!this.#firstFrameDecides) {
      this.#validParts(start, end, leafPermissions(leaf.low, leaf.high), places);
    }
  };

  /** Hands on what is still held back. Call it after the last mapping. */
  flush(): void {
    this.#closeRun();
    this.#gathered?.flush();
  }

  #validParts(start: number, end: number, permissions: number, places: number): void {
    let found = false;
    for (const range of this.#validFrames) {
      if (range.start >= end) break;
      if (range.end <= start) continue;
      found = true;
      this.#run(Math.max(start, range.start), Math.min(end, range.end), permissions, places);
    }
    if (found) this.leaves += places;
  }

  #run(start: number, end: number, permissions: number, places: number): void {
    this.frames += (end - start) * places;
    if (places > 1) {
      this.#closeRun();
      this.#runs.add(start as Gfn, end as Gfn, permissions, places);
      return;
    }
    if (start === this.#end && permissions === this.#permissions) {
      this.#end = end;
      return;
    }
    this.#closeRun();
    this.#start = start;
    this.#end = end;
    this.#permissions = permissions;
  }

  #closeRun(): void {
    if (this.#start < this.#end) this.#sink.add(this.#start as Gfn, this.#end as Gfn, this.#permissions, 1);
    this.#start = this.#end;
  }

  /** Looks for the range of valid frames that `frame` lies in. */
  #findRange(frame: number): boolean {
    let low = 0;
    let high = this.#validFrames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (frame < (this.#validFrames[middle]?.end ?? 0)) high = middle;
      else low = middle + 1;
    }
    const range = this.#validFrames[low];
    if (range === undefined || frame < range.start) return false;
    this.#validStart = range.start;
    this.#validEnd = range.end;
    return true;
  }
}
