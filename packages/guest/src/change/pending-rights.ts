import { createMemoryTable, type MemoryTable } from '@heki/memory-table';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { RangeSink } from '../counters/page-counters.ts';

/**
 * When a change of mappings reaches the hypervisor: what pages lose before the page tables change, what they gain when the change is in
 * force (the mend of B-G22). In between the hypervisor has less than the counters say, which is kept here.
 */
export class PendingRights {
  /** What the hypervisor has for a frame, where that is less than its counters say. */
  readonly #enforced: MemoryTable<number> = createMemoryTable();
  /** What {@link #enforced} held before the call at hand, oldest first. */
  #journal: { readonly start: Gfn; readonly end: Gfn; readonly enforced: number | undefined }[] = [];

  /** Nothing waits to be granted. */
  get isEmpty(): boolean {
    return this.#enforced.extents().next().done === true;
  }

  /** The frames that wait, ascending. */
  frames(): FrameRange<Gfn>[] {
    return [...this.#enforced.extents()];
  }

  /** Before the page tables change: hands on to `sink` what pages lose, and keeps what they gain. */
  narrow(sink: RangeSink): RangeSink {
    return this.#through(sink, (permissions, enforced) => permissions & enforced);
  }

  /** Once the change is in force, or for a change that is: hands on all. */
  widen(sink: RangeSink): RangeSink {
    return this.#through(sink, (permissions) => permissions);
  }

  #through(sink: RangeSink, toldOf: (permissions: number, enforced: number) => number): RangeSink {
    return {
      add: (start, end, permissions, before) => {
        this.#enforced.update(start, end, (pending, from, to) => {
          const enforced = pending ?? before;
          const told = toldOf(permissions, enforced);
          if (told !== enforced) sink.add(from, to, told, enforced);
          const next = told === permissions ? undefined : told;
          if (next !== pending) this.#journal.push({ start: from, end: to, enforced: pending });
          return next;
        });
      },
    };
  }

  /** The hypervisor has accepted. */
  commit(): void {
    this.#journal = [];
  }

  /** The hypervisor has refused: everything since the last {@link commit} is as it was. */
  rollBack(): void {
    for (const { start, end, enforced } of this.#journal.toReversed()) {
      if (enforced === undefined) this.#enforced.clear(start, end);
      else this.#enforced.set(start, end, enforced);
    }
    this.#journal = [];
  }
}
