import type { FrameRange, Gfn } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import { LinuxError } from '../error.ts';

/** The kernel's page allocator. It hands out frames; what is in them, their last owner left there. */
export interface PageAllocator {
  /** Frames that are free. */
  readonly freeFrames: number;
  /** One frame (order 0), or 2^order frames aligned to their size, `undefined` when too few are free. */
  allocate(order?: number): Gfn | undefined;
  /** @throws {LinuxError} when a frame is free already or was never this allocator's */
  free(frame: Gfn, order?: number): void;
  /** Takes over frames that were somebody else's: all of memory at boot, later the pages of init code. */
  add(range: FrameRange<Gfn>): void;
  /** Gives up frames that were added together, whole blocks of the largest kind. `false`, and nothing happens, when one is in use. */
  remove(range: FrameRange<Gfn>): boolean;
}

/** Largest block: 2^10 pages, 4 MiB (`MAX_ORDER`). */
const LARGEST_ORDER = 10;
/** Single pages that a processor keeps at hand, and how many go back to the blocks when there are more (`pcp->high`, `->batch`). */
const KEPT = 512;
const BATCH = 64;
/** ZONE_DMA, the first 16 MiB, serves when nothing else is left. */
const DMA_END = 0x1000;

/**
 * A buddy allocator as far as its users can tell: a single page that is freed is the next to be handed out; blocks are
 * split from the lowest up and merge when both halves are free; memory below 16 MiB comes last. The same calls give the same
 * frames.
 */
export function createPageAllocator(): PageAllocator {
  const normal = new Zone();
  const dma = new Zone();
  const owned = new FrameSet();
  /** Freed single pages, the latest last. */
  const kept: Gfn[] = [];
  const keptFrames = new Set<Gfn>();
  const zoneOf = (frame: Gfn): Zone => (frame < DMA_END ? dma : normal);

  const release = (frame: Gfn, order: number): void => zoneOf(frame).free(frame, order);

  const drain = (count: number): void => {
    for (const frame of kept.splice(0, count)) {
      keptFrames.delete(frame);
      release(frame, 0);
    }
  };

  const take = (order: number): Gfn | undefined => normal.allocate(order) ?? dma.allocate(order);

  return {
    get freeFrames() {
      return kept.length + normal.freeFrames + dma.freeFrames;
    },
    allocate(order = 0) {
      if (order === 0) {
        const frame = kept.pop();
        if (frame !== undefined) {
          keptFrames.delete(frame);
          return frame;
        }
      }
      const frame = take(order);
      if (frame !== undefined || kept.length === 0) return frame;
      drain(kept.length);
      return take(order);
    },
    free(frame, order = 0) {
      const end = (frame + 2 ** order) as Gfn;
      if (!owned.has(frame, end)) {
        throw new LinuxError(`frames ${hex(frame)}-${hex(end)} were never the page allocator's`);
      }
      for (let at = frame; at < end; at = (at + 1) as Gfn) {
        if (keptFrames.has(at) || zoneOf(at).isFree(at))
          throw new LinuxError(`frame ${hex(at)} is free already`);
      }
      if (order > 0) {
        release(frame, order);
        return;
      }
      kept.push(frame);
      keptFrames.add(frame);
      if (kept.length > KEPT) drain(BATCH);
    },
    add({ start, end }) {
      owned.add(start, end);
      let at: number = start;
      while (at < end) {
        const limit = at < DMA_END ? Math.min(end, DMA_END) : end;
        let order = LARGEST_ORDER;
        while (at % 2 ** order !== 0 || at + 2 ** order > limit) order--;
        zoneOf(at as Gfn).append(at as Gfn, order);
        at += 2 ** order;
      }
    },
    remove({ start, end }) {
      if (!owned.has(start, end)) return false;
      drain(kept.length);
      for (let at = start; at < end; at = (at + 1) as Gfn) if (!zoneOf(at).isFree(at)) return false;
      normal.withdraw(start, end);
      dma.withdraw(start, end);
      owned.remove(start, end);
      return true;
    },
  };
}

/** Free blocks of one zone. */
class Zone {
  freeFrames = 0;
  /** The order of every free block, by its first frame. */
  readonly #orderOf = new Map<Gfn, number>();
  /** By order, blocks that were free once: those that no longer are are skipped. Freed blocks are taken again first. */
  readonly #recent: Gfn[][] = Array.from({ length: LARGEST_ORDER + 1 }, () => []);
  /** Blocks from boot, in ascending order, and how many of them are used up. */
  readonly #initial: { readonly blocks: Gfn[]; used: number }[] = Array.from(
    { length: LARGEST_ORDER + 1 },
    () => ({ blocks: [], used: 0 }),
  );

  isFree(frame: Gfn): boolean {
    for (let order = 0; order <= LARGEST_ORDER; order++) {
      const first = (frame - (frame % 2 ** order)) as Gfn;
      if ((this.#orderOf.get(first) ?? -1) >= order) return true;
    }
    return false;
  }

  append(frame: Gfn, order: number): void {
    this.#initial[order]?.blocks.push(frame);
    this.#orderOf.set(frame, order);
    this.freeFrames += 2 ** order;
  }

  /** Forgets free blocks that lie between `start` and `end`. */
  withdraw(start: Gfn, end: Gfn): void {
    for (const [frame, order] of this.#orderOf) {
      if (frame < start || frame >= end) continue;
      this.#orderOf.delete(frame);
      this.freeFrames -= 2 ** order;
    }
  }

  allocate(order: number): Gfn | undefined {
    for (let from = order; from <= LARGEST_ORDER; from++) {
      const frame = this.#next(from);
      if (frame === undefined) continue;
      this.#orderOf.delete(frame);
      this.freeFrames -= 2 ** order;
      for (let half = from - 1; half >= order; half--) this.#put((frame + 2 ** half) as Gfn, half);
      return frame;
    }
    return undefined;
  }

  free(frame: Gfn, order: number): void {
    this.freeFrames += 2 ** order;
    let first: number = frame;
    let size = order;
    while (size < LARGEST_ORDER) {
      const buddy = (first % 2 ** (size + 1) === 0 ? first + 2 ** size : first - 2 ** size) as Gfn;
      if (this.#orderOf.get(buddy) !== size) break;
      this.#orderOf.delete(buddy);
      first = Math.min(first, buddy);
      size++;
    }
    this.#put(first as Gfn, size);
  }

  #put(frame: Gfn, order: number): void {
    this.#orderOf.set(frame, order);
    this.#recent[order]?.push(frame);
  }

  #next(order: number): Gfn | undefined {
    const recent = this.#recent[order] ?? [];
    for (let frame = recent.pop(); frame !== undefined; frame = recent.pop()) {
      if (this.#orderOf.get(frame) === order) return frame;
    }
    const initial = this.#initial[order];
    while (initial !== undefined && initial.used < initial.blocks.length) {
      const frame = initial.blocks[initial.used++];
      if (frame !== undefined && this.#orderOf.get(frame) === order) return frame;
    }
    return undefined;
  }
}

/** Frames as ascending ranges. */
class FrameSet {
  readonly #ranges: { readonly start: number; end: number }[] = [];

  add(start: Gfn, end: Gfn): void {
    const at = this.#after(start);
    const before = this.#ranges[at - 1];
    const next = this.#ranges[at];
    if (
      start >= end ||
      (before !== undefined && before.end > start) ||
      (next !== undefined && next.start < end)
    ) {
      throw new LinuxError(`frames ${hex(start)}-${hex(end)} are the page allocator's already, or none`);
    }
    this.#ranges.splice(at, 0, { start, end });
  }

  /** Takes out a range that was added as it is. */
  remove(start: Gfn, end: Gfn): void {
    const at = this.#after(start) - 1;
    const range = this.#ranges[at];
    if (range?.start !== start || range.end !== end) {
      throw new LinuxError(`frames ${hex(start)}-${hex(end)} were not added together`);
    }
    this.#ranges.splice(at, 1);
  }

  /** Whether one range that was added holds all frames from `start` to `end` - 1. */
  has(start: Gfn, end: Gfn): boolean {
    const range = this.#ranges[this.#after(start) - 1];
    return range !== undefined && end <= range.end;
  }

  /** The index of the first range that begins above `frame`. */
  #after(frame: Gfn): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.start ?? 0) <= frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
