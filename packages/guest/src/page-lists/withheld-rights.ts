import { createMemoryTable, type MemoryTable } from '@heki/memory-table';
import type { Gfn } from '@heki/physical-memory';
import type { RangeSink } from '../counters/page-counters.ts';

/**
 * Permissions that the counters grant and the hypervisor does not have yet, because the change of the page tables that they belong
 * to is yet to come. Without B-G22 nothing is widened before its time.
 */
export class WithheldRights {
  /** What the hypervisor has for a frame, where that is less than its counters say. */
  readonly #enforced: MemoryTable<number> = createMemoryTable();
  /** What {@link #enforced} held before the call at hand, oldest first. */
  #journal: { readonly start: Gfn; readonly end: Gfn; readonly enforced: number | undefined }[] = [];

  get isEmpty(): boolean {
    return this.#enforced.extents().next().done === true;
  }

  /** A sink that hands on to `sink` what the hypervisor must hear now: with `early` only what pages lose. */
  through(sink: RangeSink, early: boolean): RangeSink {
    return {
      add: (start, end, permissions, before) => {
        this.#enforced.update(start, end, (withheld, from, to) => {
          const enforced = withheld ?? before;
          const now = early ? permissions & enforced : permissions;
          if (now !== enforced) sink.add(from, to, now, enforced);
          const next = now === permissions ? undefined : now;
          if (next !== withheld) this.#journal.push({ start: from, end: to, enforced: withheld });
          return next;
        });
      },
    };
  }

  /** The frames for which something is withheld. */
  *frames(): IterableIterator<{ readonly start: Gfn; readonly end: Gfn }> {
    yield* this.#enforced.extents();
  }

  /** The hypervisor has accepted. */
  commit(): void {
    this.#journal = [];
  }

  /** The hypervisor has refused. */
  rollBack(): void {
    for (const { start, end, enforced } of this.#journal.toReversed()) {
      if (enforced === undefined) this.#enforced.clear(start, end);
      else this.#enforced.set(start, end, enforced);
    }
    this.#journal = [];
  }
}
