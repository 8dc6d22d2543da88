import { MEM_ATTR_IMMUTABLE, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import {
  type AscendingRanges,
  createMemoryTable,
  type MemoryTable,
  memoryTableGeometry,
} from '@heki/memory-table';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import { HekiCommand } from '../command.ts';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { AttributeChange, PermissionCounters } from '../heki-guest.ts';
import { DEFAULT_PERMISSIONS } from '../permission.ts';
import {
  type CounterChange,
  CounterStates,
  raiseChange,
  updateChange,
  ZERO_STATE,
} from './counter-states.ts';
import { Journal } from './journal.ts';
import type { RunSink } from './sorted-runs.ts';

/** Takes the ranges whose permissions changed, in the order in which they did. */
export interface RangeSink {
  /** @param before what the hypervisor was told last; 0 for what it must be told in any case */
  add(start: Gfn, end: Gfn, permissions: number, before: number): void;
}

/** What one call does with each mapping that it is given. */
export interface CountingTask extends AttributeChange {
  readonly command: HekiCommand;
  /**
   * What PROTECT_MEMORY does with the counters before it sends what they say: raise those that are 0 but that the
   * mapping has a permission for (B-G5), count the mapping, or nothing, because it is counted already.
   */
  readonly protection: 'raise' | 'count' | 'none';
  /** Where changed permissions go; absent while nothing is enforced. */
  readonly sink: RangeSink | undefined;
  /** {@link PageCounters.addElsewhere} will follow. */
  readonly elsewhere: boolean;
}

/** What {@link PageCounters} depends on. */
export interface PageCountersOptions {
  readonly defects: GuestDefectSwitches;
  /** CONFIG_X86_5LEVEL. */
  readonly fiveLevelKernel: boolean;
  readonly la57: boolean;
  /** Pages without counters were unmapped. */
  readonly onUnknownUnmap: () => void;
}

type State = number | undefined;
type Transition = (state: State, start: Gfn, end: Gfn) => State;

/** States that may pile up before those that no page is in any more are forgotten. */
const STATES_BEFORE_CLEANING = 1024;

/**
 * The counters of every page, and what a mapping does to them: `heki_callback` (Heki v2 14/19 to 18/19), for all pages
 * of an extent at a time.
 */
export class PageCounters implements RunSink {
  readonly #table: MemoryTable<number>;
  readonly #states: CounterStates;
  /** B-G7: a page that no mapping has left keeps counters. */
  readonly #keepsZero: boolean;
  /** B-G6: a page without counters is sent as read-write, whatever its mapping says. */
  readonly #ignoresUnknown: boolean;
  readonly #onUnknownUnmap: () => void;
  #statesToClean = STATES_BEFORE_CLEANING;
  #countedFrames = 0;

  /** What the task at hand does to the counters, for each permission that a mapping may have. */
  readonly #changes = new Uint8Array(8);
  #transition: Transition;
  readonly #journal = new Journal();
  /** The task at hand can be undone. */
  #undoable = false;
  #sink: RangeSink | undefined;
  #setGlobal = 0;
  /** Permissions of the mappings at hand, what the task does to the counters, and how often. */
  #permissions = 0;
  #change = 0;
  #mappings = 1;
  /** The frames that the task at hand has met, where somebody will ask. */
  #met: MemoryTable<true> | undefined;

  constructor(options: PageCountersOptions) {
    const { defects, fiveLevelKernel, la57 } = options;
    this.#table = defects['B-G8']
      ? createMemoryTable({
          geometry: memoryTableGeometry({ fiveLevelKernel, la57, foldedLevelCounted: true }),
          defects: { 'B-G8': true },
        })
      : createMemoryTable();
    this.#states = new CounterStates(defects['B-G7']);
    this.#keepsZero = defects['B-G7'];
    this.#ignoresUnknown = defects['B-G6'];
    this.#onUnknownUnmap = options.onUnknownUnmap;
    this.#transition = this.#map;
  }

  /** Distinct frames that have counters. */
  get countedFrames(): number {
    return this.#countedFrames;
  }

  counters(frame: Gfn): PermissionCounters | undefined {
    const state = this.#table.get(frame);
    return state === undefined ? undefined : this.#states.counters(state);
  }

  /** The collective permission of `frame`. */
  permissions(frame: Gfn): number {
    return this.#permissionsOf(this.#table.get(frame));
  }

  /** The collective permission of every run of frames in the range, and whether they have counters. */
  forEachPermissions(
    start: Gfn,
    end: Gfn,
    visit: (permissions: number, start: Gfn, end: Gfn, counted: boolean) => void,
  ): void {
    this.#table.forEach(start, end, (state, from, to) => {
      visit(this.#permissionsOf(state), from, to, state !== undefined);
    });
  }

  /** Sets what {@link add} does until {@link commit} or {@link rollBack}; the latter may come only if `undoable`. */
  begin(task: CountingTask, undoable: boolean): void {
    if (this.#states.size > this.#statesToClean) this.#forgetUnusedStates();
    for (let permissions = 0; permissions < 8; permissions++) {
      this.#changes[permissions] = changeOf(task, permissions);
    }
    this.#sink = task.sink;
    this.#setGlobal = task.setGlobal ?? 0;
    this.#undoable = undoable;
    this.#met = task.elsewhere ? createMemoryTable() : undefined;
    switch (task.command) {
      case HekiCommand.MAP:
        this.#transition = this.#map;
        break;
      case HekiCommand.UPDATE:
        this.#transition = this.#update;
        break;
      case HekiCommand.UNMAP:
        this.#transition = this.#unmap;
        break;
      case HekiCommand.PROTECT_MEMORY:
        this.#transition = { raise: this.#raiseAndSend, count: this.#countAndSend, none: this.#send }[
          task.protection
        ];
    }
  }

  /** Does the task for the frames `start` .. `end` - 1, as often as they are mapped with `permissions`. */
  add(start: Gfn, end: Gfn, permissions: number, mappings: number): void {
    this.#permissions = permissions;
    this.#change = this.#changes[permissions] ?? 0;
    this.#mappings = mappings;
    this.#met?.set(start, end, true);
    this.#table.update(start, end, this.#transition);
  }

  /** Sends what the counters say for those of `frames` that the task has not met. How many frames that are. */
  addElsewhere(frames: readonly FrameRange<Gfn>[]): number {
    let sent = 0;
    for (const range of frames) {
      this.#met?.forEach(range.start, range.end, (met, start, end) => {
        if (met === true) return;
        this.#table.forEach(start, end, (state, from, to) => {
          if (state === undefined) return;
          this.#send(state, from, to);
          sent += to - from;
        });
      });
    }
    return sent;
  }

  /** {@link add} for many runs that ascend and do not overlap. */
  addAscending(runs: AscendingRanges, permissions: Uint8Array): void {
    this.#mappings = 1;
    this.#table.updateAscending(runs, (state, start, end, index) => {
      this.#permissions = permissions[index] ?? 0;
      this.#change = this.#changes[this.#permissions] ?? 0;
      return this.#transition(state, start, end);
    });
  }

  /** Keeps what was done since {@link begin}. */
  commit(): void {
    this.#undoable = false;
    this.#journal.clear();
  }

  /** Undoes what was done since {@link begin}. */
  rollBack(): void {
    this.#undoable = false;
    this.#journal.unwind((start, end, state) => {
      const before = state === 0 ? undefined : state;
      this.#table.update(start as Gfn, end as Gfn, (now, from, to) => this.#become(now, before, from, to));
    });
    this.#journal.clear();
  }

  readonly #map: Transition = (state, start, end) => {
    const next = this.#states.next(this.#change, state ?? ZERO_STATE, this.#mappings);
    this.#report(this.#permissionsOf(state), this.#states.permissions(next), start, end);
    return this.#become(state, next, start, end);
  };

  readonly #update: Transition = (state, start, end) => {
    if (state === undefined) return undefined;
    const next = this.#states.next(this.#change, state, this.#mappings);
    this.#report(this.#states.permissions(state), this.#states.permissions(next), start, end);
    return this.#become(state, next, start, end);
  };

  readonly #unmap: Transition = (state, start, end) => {
    if (state === undefined) {
      this.#onUnknownUnmap();
      this.#report(DEFAULT_PERMISSIONS, DEFAULT_PERMISSIONS, start, end);
      return undefined;
    }
    return this.#update(state, start, end);
  };

  /** PROTECT_MEMORY takes for granted that the hypervisor knows nothing: it sends every page. */
  readonly #raiseAndSend: Transition = (state, start, end) => {
    if (state === undefined) {
      this.#report(0, this.#ignoresUnknown ? DEFAULT_PERMISSIONS : this.#permissions, start, end);
      return undefined;
    }
    const next = this.#states.next(this.#change, state, this.#mappings);
    this.#report(0, this.#states.permissions(next), start, end);
    return this.#become(state, next, start, end);
  };

  readonly #countAndSend: Transition = (state, start, end) => {
    const change =
      state === undefined && this.#ignoresUnknown ? updateChange(0, DEFAULT_PERMISSIONS, 0) : this.#change;
    const next = this.#states.next(change, state ?? ZERO_STATE, this.#mappings);
    this.#report(0, this.#states.permissions(next), start, end);
    return this.#become(state, next, start, end);
  };

  readonly #send: Transition = (state, start, end) => {
    this.#report(0, this.#permissionsOf(state), start, end);
    return state;
  };

  #permissionsOf(state: State): number {
    return state === undefined ? DEFAULT_PERMISSIONS : this.#states.permissions(state);
  }

  /** Hands on what the pages may do now, if it is not what they could do `before`. */
  #report(before: number, now: number, start: Gfn, end: Gfn): void {
    if (this.#sink === undefined) return;
    let permissions = now | this.#setGlobal;
    // Pages that may be written are recycled by the kernel's allocators, so they must stay changeable.
    if ((permissions & MEM_ATTR_WRITE) !== 0) permissions &= ~MEM_ATTR_IMMUTABLE;
    if (before !== permissions) this.#sink.add(start, end, permissions, before);
  }

  #become(state: State, next: State, start: Gfn, end: Gfn): State {
    const kept = next === ZERO_STATE && !this.#keepsZero ? undefined : next;
    if (kept === state) return state;
    if (state === undefined) this.#countedFrames += end - start;
    else if (kept === undefined) this.#countedFrames -= end - start;
    if (this.#undoable) this.#journal.record(start, end, state ?? 0);
    return kept;
  }

  #forgetUnusedStates(): void {
    const live = new Set<number>();
    for (const { value } of this.#table.extents()) live.add(value);
    this.#states.retain((state) => live.has(state));
    this.#statesToClean = Math.max(STATES_BEFORE_CLEANING, 2 * this.#states.size);
  }
}

/** What a task does to the counters of pages that are mapped with `permissions`. */
function changeOf(
  { command, set = 0, clear = 0, protection }: CountingTask,
  permissions: number,
): CounterChange {
  if (command === HekiCommand.UPDATE) return updateChange(permissions, set, clear);
  if (command === HekiCommand.UNMAP) return updateChange(permissions, 0, permissions);
  return protection === 'raise' ? raiseChange(permissions) : updateChange(0, permissions, 0);
}
