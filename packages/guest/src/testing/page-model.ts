import { HekiCommand } from '../command.ts';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { AttributeChange, NamedLeaf } from '../heki-guest.ts';

const READ = 1;
const WRITE = 2;
const EXEC = 4;
const IMMUTABLE = 8;
const ENTRIES = 169;

/** One entry of a page list. */
interface ModelEntry {
  start: number;
  end: number;
  permissions: number;
}

/** What a list page holds: `count` can claim more entries than there are. */
export interface ModelListPage {
  readonly entries: ModelEntry[];
  count: number;
}

/** What the model asks for: a page for a list, and the hypervisor's answer. */
export interface ModelWorld {
  readonly isValid: (frame: number) => boolean;
  readonly allocate: () => boolean;
  /** Takes the list in the order of its chain, the newest page first. */
  readonly protectMemory: (list: readonly ModelListPage[]) => number;
}

/** A change, and whether the page tables are yet to change. */
export type ModelChange = AttributeChange & { readonly early?: boolean };

/** The Heki core as it is written down, one page of 4 KiB after the other: slow, and obvious. */
export class PageModel {
  /** Read, write and execute counters of the pages that have any. */
  counters = new Map<number, readonly [number, number, number]>();
  protectsMemory = false;
  directMapCounted = false;
  /** What the hypervisor has for pages that are to have more. */
  #pending = new Map<number, number>();
  readonly #defects: GuestDefectSwitches;
  readonly #world: ModelWorld;
  #list: ModelListPage[] = [];
  #index = 0;

  constructor(defects: GuestDefectSwitches, world: ModelWorld) {
    this.#defects = defects;
    this.#world = world;
  }

  /** @param elsewhere PROTECT_MEMORY: pages with counters that none of the leaves maps are sent, too */
  apply(
    command: HekiCommand,
    leaves: Iterable<NamedLeaf>,
    change: ModelChange = {},
    elsewhere: boolean = false,
  ): number {
    return this.applyEach(
      command,
      (feed) => {
        for (const leaf of leaves) feed(leaf);
      },
      change,
      elsewhere,
    );
  }

  /** {@link apply} for mappings that a walk brings one by one. */
  applyEach(
    command: HekiCommand,
    source: (feed: (leaf: NamedLeaf) => void) => void,
    change: ModelChange = {},
    elsewhere: boolean = false,
  ): number {
    const defects = this.#defects;
    const before = {
      counters: new Map(this.counters),
      protects: this.protectsMemory,
      pending: new Map(this.#pending),
    };
    const counts = command === HekiCommand.PROTECT_MEMORY && !defects['B-G5'] && !this.directMapCounted;
    if (command === HekiCommand.PROTECT_MEMORY) this.protectsMemory = true;
    this.#list = [];
    const met: { readonly start: number; readonly end: number }[] = [];
    source((leaf) => {
      if (elsewhere) met.push({ start: leaf.guestFrame, end: leaf.guestFrame + leaf.frames });
      this.#leaf(command, leaf, change, counts);
    });
    if (elsewhere) {
      for (const frame of framesOutside(met, new Set(this.counters.keys()))) {
        const now = this.permissions(frame) | (change.setGlobal ?? 0);
        this.#report(frame, 0, (now & WRITE) === 0 ? now : now & ~IMMUTABLE, false);
      }
    }

    const error = this.#list.length === 0 ? 0 : this.#send();
    if (error === 0 || defects['B-G1']) {
      if (counts) this.directMapCounted = true;
    } else {
      this.counters = before.counters;
      this.protectsMemory = before.protects;
      this.#pending = before.pending;
    }
    return defects['B-G3'] ? 0 : error;
  }

  /** Grants what waits, page by page; the pages ascend, as the core has them in a table. */
  inForce(): number {
    const pages = [...this.#pending.keys()].sort((a, b) => a - b);
    const before = new Map(this.#pending);
    this.#list = [];
    for (const frame of pages) this.#report(frame, 0, this.permissions(frame), false);
    const error = this.#list.length === 0 ? 0 : this.#send();
    if (error !== 0 && !this.#defects['B-G1']) this.#pending = before;
    return this.#defects['B-G3'] ? 0 : error;
  }

  permissions(frame: number): number {
    const [read, write, execute] = this.counters.get(frame) ?? [0, 0, 0];
    const present = (read === 0 ? 0 : READ) | (write === 0 ? 0 : WRITE) | (execute === 0 ? 0 : EXEC);
    return present === 0 ? READ | WRITE : present;
  }

  #leaf(command: HekiCommand, leaf: NamedLeaf, change: ModelChange, counts: boolean): void {
    const { guestFrame, frames, low, high, places = 1 } = leaf;
    const { set = 0, clear = 0, setGlobal = 0 } = change;
    const permissions = READ | ((low & 2) === 0 ? 0 : WRITE) | (high >>> 31 === 0 ? EXEC : 0);
    if (this.#defects['B-G15'] && !this.#world.isValid(guestFrame)) return;
    for (let frame: number = guestFrame; frame < guestFrame + frames; frame++) {
      if (!this.#defects['B-G15'] && !this.#world.isValid(frame)) continue;
      const known = this.counters.has(frame);
      let existing = this.permissions(frame);
      let unknown = READ | WRITE;
      switch (command) {
        case HekiCommand.MAP:
          this.#count(frame, 0, permissions, 0, places);
          break;
        case HekiCommand.UPDATE:
          if (!known) continue;
          this.#count(frame, permissions, set, clear, places);
          break;
        case HekiCommand.UNMAP:
          if (known) this.#count(frame, permissions, 0, permissions, places);
          break;
        case HekiCommand.PROTECT_MEMORY:
          existing = 0;
          if (!this.#defects['B-G6']) unknown = permissions;
          if (counts) this.#count(frame, 0, known ? permissions : unknown, 0, places);
          else if (known && this.#defects['B-G5']) this.#raise(frame, permissions);
          else if (!known && !this.#defects['B-G5']) unknown = READ | WRITE;
      }
      let now = (this.counters.has(frame) ? this.permissions(frame) : unknown) | setGlobal;
      if ((now & WRITE) !== 0) now &= ~IMMUTABLE;
      if (this.protectsMemory && existing !== now) this.#report(frame, existing, now, change.early === true);
    }
  }

  /** Tells the hypervisor, which has `existing` for the page unless it was told less. */
  #report(frame: number, existing: number, now: number, early: boolean): void {
    const enforced = this.#pending.get(frame) ?? existing;
    const told = early && !this.#defects['B-G22'] ? now & enforced : now;
    if (told !== enforced) this.#add(frame, told);
    if (told === now) this.#pending.delete(frame);
    else this.#pending.set(frame, told);
  }

  #count(frame: number, permissions: number, set: number, clear: number, times: number): void {
    for (let time = 0; time < times; time++) this.#countOnce(frame, permissions, set, clear);
  }

  #countOnce(frame: number, permissions: number, set: number, clear: number): void {
    const old = this.counters.get(frame) ?? [0, 0, 0];
    const [read, write, execute] = [READ, WRITE, EXEC].map((bit, index) => {
      let counter = old[index] ?? 0;
      if ((clear & permissions & bit) !== 0 && (this.#defects['B-G7'] || counter > 0)) counter--;
      if ((set & ~permissions & bit) !== 0) counter++;
      return counter | 0;
    });
    const none = read === 0 && write === 0 && execute === 0;
    if (none && !this.#defects['B-G7']) this.counters.delete(frame);
    else this.counters.set(frame, [read ?? 0, write ?? 0, execute ?? 0]);
  }

  #raise(frame: number, permissions: number): void {
    const [read, write, execute] = this.counters.get(frame) ?? [0, 0, 0];
    const raise = (counter: number, bit: number) =>
      counter === 0 && (permissions & bit) !== 0 ? 1 : counter;
    this.counters.set(frame, [raise(read, READ), raise(write, WRITE), raise(execute, EXEC)]);
  }

  #add(frame: number, permissions: number): void {
    const page = this.#list.at(-1);
    if (page !== undefined && this.#index < ENTRIES) {
      const open = page.entries[this.#index];
      if (open?.end === frame && open.permissions === permissions) {
        open.end++;
        return;
      }
      this.#index++;
    }
    if (page === undefined || this.#index === ENTRIES) {
      if (this.#defects['B-G2'] && !this.#world.allocate()) return;
      this.#list.push({ entries: [], count: ENTRIES });
      this.#index = 0;
    }
    this.#list.at(-1)?.entries.push({ start: frame, end: frame + 1, permissions });
  }

  #send(): number {
    for (const page of this.#list) {
      page.count = ENTRIES;
      if (!this.#defects['B-G2'] && !this.#world.allocate()) return -12;
    }
    const newest = this.#list.at(-1);
    if (newest !== undefined) newest.count = this.#index + 1;
    return this.#world.protectMemory([...this.#list].reverse());
  }
}

/** The `frames` that are in none of `ranges`, ascending. A range may have more frames than a set can hold. */
function framesOutside(
  ranges: readonly { readonly start: number; readonly end: number }[],
  frames: Set<number>,
): number[] {
  for (const { start, end } of ranges) {
    if (end - start <= frames.size) for (let frame = start; frame < end; frame++) frames.delete(frame);
    else for (const frame of frames) if (frame >= start && frame < end) frames.delete(frame);
  }
  return [...frames].sort((a, b) => a - b);
}
