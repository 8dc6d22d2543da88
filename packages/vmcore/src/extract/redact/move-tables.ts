import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame, framesOfLevel, isLeaf, type Level } from '@heki/x86';
import { type TableRoot, UPPER_HALF } from '../table-pages.ts';
import { CannotMove, type Move } from './move.ts';

/** The contents that table pages get, by frame; every other page stays as it is. */
export type MovedTables = ReadonlyMap<Gfn, Uint32Array>;

/**
 * Rewrites page tables so that what they map lies where `moves` take it. An entry goes as it is, with all below it, when one
 * move takes all that it spans by a multiple of its span; else the table under it is taken apart. Tables made
 * anew take the frames of those that were taken apart, then those of `spare`. Tables with nothing in them go. The lower half of
 * root tables stays.
 *
 * @throws {CannotMove} when a leaf lies across the edge of a move, or two things would lie in one place
 */
export function moveTables(
  memory: PhysicalMemory<Gfn>,
  roots: readonly TableRoot[],
  moves: readonly Move[],
  {
    spare = [],
    encryptionBit,
  }: { readonly spare?: Iterable<Gfn>; readonly encryptionBit?: number | undefined } = {},
): MovedTables {
  const mover = new TableMover(
    memory,
    moves.filter(({ start, to }) => start !== to),
    spare[Symbol.iterator](),
    addressHigh(encryptionBit),
  );
  for (const { frame, levels } of roots) {
    mover.rewrite(frame, levels, 2 ** 52 - 512 * framesOfLevel(levels), UPPER_HALF);
  }
  return mover.contents;
}

/** An entry by its halves. */
interface Entry {
  readonly low: number;
  readonly high: number;
}

/** A table that is being made. */
interface NewTable {
  readonly level: number;
  /** Bits of the entry that leads to it, but for the frame. */
  readonly flags: Entry;
  readonly entries: Map<number, Entry | NewTable>;
}

/** Bits 31:12 of an entry's low half: the lower ones of the address. */
const ADDRESS_LOW = 0xfffff000;

class TableMover {
  readonly contents = new Map<Gfn, Uint32Array>();
  readonly #memory: PhysicalMemory<Gfn>;
  readonly #moves: readonly Move[];
  /** Where each table was rewritten: one that is used in two places cannot be. */
  readonly #rewritten = new Map<Gfn, string>();
  /** Tables that nothing leads to any more: new ones take their frames. */
  readonly #free = new Set<Gfn>();
  /** By frame and level, whether a table has nothing in it. */
  readonly #empty = new Map<number, boolean>();
  /** By place and entries, what a group of entries became: roots share their kernel half. */
  readonly #regrouped = new Map<string, ReadonlyMap<number, Entry>>();

  readonly #spare: Iterator<Gfn>;
  /** The bits of an entry's high half that are of the address. */
  readonly #addressBits: number;

  constructor(
    memory: PhysicalMemory<Gfn>,
    moves: readonly Move[],
    spare: Iterator<Gfn>,
    addressBits: number,
  ) {
    this.#addressBits = addressBits;
    this.#memory = memory;
    this.#moves = moves;
    this.#spare = spare;
  }

  /** Rewrites the table at `frame`, whose slot 0 is at the virtual frame `base`, from `firstSlot` on. */
  rewrite(frame: Gfn, level: Level, base: number, firstSlot = 0): void {
    const place = `${level} ${base}`;
    const before = this.#rewritten.get(frame);
    if (before === place) return;
    if (before !== undefined) throw new CannotMove('a table that is used in two places would change in both');
    const page = this.#memory.page(frame);
    if (page === undefined) return;
    this.#rewritten.set(frame, place);
    const words = Uint32Array.from(page);
    const span = framesOfLevel(level);
    const leaving = new Map<number, Entry>();
    for (let slot = firstSlot; slot < 512; slot++) {
      const entry = { low: words[2 * slot] ?? 0, high: words[2 * slot + 1] ?? 0 };
      if (entry.low === 0 && entry.high === 0) continue;
      if (this.#isEmpty(entry, level)) {
        words.fill(0, 2 * slot, 2 * slot + 2);
        continue;
      }
      const from = base + slot * span;
      const touching = this.#moves.filter((move) => isTouched(move, from, from + span));
      if (touching.length === 0) continue;
      const staysInside = touching.every((move) => isInside(move, from, from + span));
      if (staysInside && isTable(entry, level)) {
        this.rewrite(this.#tableOf(entry), (level - 1) as Level, from);
      } else {
        leaving.set(slot, entry);
        words.fill(0, 2 * slot, 2 * slot + 2);
      }
    }
    if (leaving.size > 0) {
      for (const [slot, { low, high }] of this.#regroup(level, base, leaving)) {
        if (words[2 * slot] !== 0 || words[2 * slot + 1] !== 0) throw new CannotMove('a place is taken');
        words.set([low, high], 2 * slot);
      }
    }
    this.contents.set(frame, words);
  }

  /** The table that an entry leads to. */
  #tableOf({ low, high }: Entry): Gfn {
    return entryFrame(low, high, this.#addressBits);
  }

  /** Whether an entry leads to a table with nothing in it: Linux makes them ahead of need, and they tell where vmalloc begins. */
  #isEmpty(entry: Entry, level: Level): boolean {
    if (!isTable(entry, level)) return false;
    const frame = this.#tableOf(entry);
    const key = frame * 8 + level;
    const known = this.#empty.get(key);
    if (known !== undefined) return known;
    // Until it is known: tables that point to each other are not empty.
    this.#empty.set(key, false);
    const page = this.#memory.page(frame);
    for (let slot = 0; slot < 512; slot++) {
      const below = { low: page?.[2 * slot] ?? 1, high: page?.[2 * slot + 1] ?? 0 };
      if ((below.low !== 0 || below.high !== 0) && !this.#isEmpty(below, (level - 1) as Level)) return false;
    }
    this.#empty.set(key, true);
    this.#free.add(frame);
    return true;
  }

  /** Entries of one table, moved: they may be taken apart, and their parts come together in new tables. */
  #regroup(level: Level, base: number, entries: ReadonlyMap<number, Entry>): ReadonlyMap<number, Entry> {
    const key = `${level} ${base} ${[...entries].map(([slot, { low, high }]) => `${slot}:${low}:${high}`).join(' ')}`;
    const known = this.#regrouped.get(key);
    if (known !== undefined) return known;
    const top: NewTable = { level, flags: { low: 0, high: 0 }, entries: new Map() };

    const scatter = (entry: Entry, at: Level, from: number, above: readonly Entry[]): void => {
      if ((entry.low === 0 && entry.high === 0) || this.#isEmpty(entry, at)) return;
      const span = framesOfLevel(at);
      const touching = this.#moves.filter(({ start, end }) => start < from + span && end > from);
      const [move] = touching;
      // What stays is taken apart, too, where something else comes to lie.
      const whole =
        move === undefined
          ? !(this.#moves.some((one) => isTouched(one, from, from + span)) && isTable(entry, at))
          : touching.length === 1 && move.start <= from && move.end >= from + span;
      const distance = move === undefined ? 0 : move.to - move.start;
      if (whole && distance % span === 0) {
        put(entry, at, from + distance, above);
        return;
      }
      if (!isTable(entry, at)) throw new CannotMove('a leaf lies across the edge of what moves');
      const table = this.#tableOf(entry);
      const page = this.#memory.page(table);
      if (page === undefined)
        throw new CannotMove('a table that would have to be taken apart is not in the dump');
      this.#free.add(table);
      const next = framesOfLevel((at - 1) as Level);
      for (let slot = 0; slot < 512; slot++) {
        const child = { low: page[2 * slot] ?? 0, high: page[2 * slot + 1] ?? 0 };
        scatter(child, (at - 1) as Level, from + slot * next, [...above, entry]);
      }
    };
    /** `above`: the entries, from this group's level down, under which it was. */
    const put = (entry: Entry, at: Level, to: number, above: readonly Entry[]): void => {
      let table = top;
      for (let depth = level; depth > at; depth = (depth - 1) as Level) {
        const slot = slotAt(to, depth);
        const found = table.entries.get(slot);
        if (found !== undefined && !('entries' in found)) throw new CannotMove('a place is taken');
        const { low = 0, high = 0 } = above[level - depth] ?? {};
        const flags = { low: (low & ~ADDRESS_LOW) >>> 0, high: (high & ~this.#addressBits) >>> 0 };
        const next: NewTable = found ?? { level: depth - 1, flags, entries: new Map() };
        if (found === undefined) table.entries.set(slot, next);
        table = next;
      }
      if (table.entries.has(slotAt(to, at))) throw new CannotMove('a place is taken');
      table.entries.set(slotAt(to, at), entry);
    };

    for (const [slot, entry] of entries) scatter(entry, level, base + slot * framesOfLevel(level), []);
    const free = [...this.#free].sort((a, b) => b - a);
    const result = new Map<number, Entry>();
    for (const [slot, entry] of top.entries) {
      result.set(slot, 'entries' in entry ? this.#finish(entry, free) : entry);
    }
    this.#regrouped.set(key, result);
    return result;
  }

  /** Gives a new table a frame and its contents; the entry that leads to it. */
  #finish(table: NewTable, free: Gfn[]): Entry {
    const frame: Gfn | undefined = free.pop() ?? this.#spare.next().value;
    if (frame === undefined) throw new CannotMove('more tables would be needed than there are');
    this.#free.delete(frame);
    const words = new Uint32Array(1024);
    for (const [slot, entry] of table.entries) {
      const { low, high } = 'entries' in entry ? this.#finish(entry, free) : entry;
      words.set([low, high], 2 * slot);
    }
    this.contents.set(frame, words);
    const { low, high } = table.flags;
    return { low: low + (frame % 2 ** 20) * 4096, high: high + Math.floor(frame / 2 ** 20) };
  }
}

function isTable({ low }: Entry, level: Level): boolean {
  return (low & EntryLow.P) !== 0 && !isLeaf(low, level);
}

function slotAt(frame: number, level: Level): number {
  return Math.floor(frame / framesOfLevel(level)) % 512;
}

/** Whether something leaves or enters `from` .. `to` - 1. */
function isTouched({ start, end, to: target }: Move, from: number, to: number): boolean {
  return (start < to && end > from) || (target < to && target + (end - start) > from);
}

/** Whether what leaves `from` .. `to` - 1 and what enters it is the same. */
function isInside({ start, end, to: target }: Move, from: number, to: number): boolean {
  return start >= from && end <= to && target >= from && target + (end - start) <= to;
}
