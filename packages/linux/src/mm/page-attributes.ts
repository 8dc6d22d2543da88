import { Errno } from '@heki/hypercall/errno';
import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import { EntryHigh, EntryLow, framesOfLevel } from '@heki/x86';
import { attempt, fail, KernelStop } from '../outcome.ts';
import { type AttributeChange, applied } from './attribute-change.ts';
import type { ChangedLeaf, LeafTransition } from './leaf-changes.ts';
import { isNone, plainLeaf, storedFrame, storedLeaf, withPresenceBits } from './leaf-entry.ts';
import { type MappingChange, putBack } from './mapping-change.ts';
import type { MmState } from './mm-state.ts';
import type { TableEntry } from './page-tables.ts';
import { forbiddenBits, violatesWx } from './static-protection.ts';

const { P, RW, D } = EntryLow;
const { XD } = EntryHigh;

/** How wide a change reaches. */
export interface AttributeOptions {
  /** Other mappings of the same frames follow (`checkalias`). */
  readonly aliases: boolean;
  /** Cached translations are dropped. */
  readonly flush: boolean;
}

/**
 * change_page_attr_set_clr (arch/x86/mm/pat/set_memory.c): changes bits of all leaves over `pages` pages, splitting large
 * leaves that the range does not cover, and takes the aliases along: the direct map for other addresses, the mapping of the
 * kernel image for frames that lie in it. NX never follows: the direct map has it always, and the image has code.
 *
 * @throws {KernelStop} -EFAULT where nothing is mapped, -ENOMEM when no page is left for a table, or Heki's refusal
 */
export function changePageAttributes(
  mappings: MappingChange,
  start: VirtualFrame,
  pages: number,
  change: AttributeChange,
  { aliases, flush }: AttributeOptions,
): void {
  const { kernel } = mappings;
  mappings.edit(() => {
    const run = new AttributeRun(kernel, change);
    const outcome = attempt(() => run.change(start, pages, aliases));
    if (outcome.kind !== 'done' && outcome.kind !== 'error') throw new KernelStop(outcome);
    const refused = mappings.narrow(run.transitions);
    if (refused !== 0) {
      run.undo();
      fail(-refused, 'Heki refused the change');
    }
    const [changed, changedAliases] = run.counts();
    kernel.emit({
      type: 'attributes',
      range: { start, end: (start + pages) as VirtualFrame },
      set: bitNames(change.set),
      clear: bitNames(change.clear),
      changed,
      changedAliases,
    });
    if (flush && changedAliases > 0) kernel.tables.flushAll();
    else if (flush && changed > 0) kernel.tables.flush(start, (start + pages) as VirtualFrame);
    // What was changed before an error stays changed.
    if (outcome.kind === 'error') throw new KernelStop(outcome);
  });
}

const bitNames = ({ low, high }: U64): string[] =>
  [
    [(low & P) !== 0, 'P'],
    [(low & RW) !== 0, 'RW'],
    [(low & D) !== 0, 'D'],
    [(high & XD) !== 0, 'XD'],
  ].flatMap(([present, name]) => (present === true ? [String(name)] : []));

/** How far one step went, and which frame is there; none where nothing is mapped. */
interface Progress {
  readonly pages: number;
  readonly frame: Gfn | undefined;
}

/** A leaf that a run has changed, in tables that only the kernel sees yet. */
interface OwnChange extends ChangedLeaf {
  readonly primary: boolean;
}

/** One call of change_page_attr_set_clr. */
class AttributeRun {
  readonly transitions: OwnChange[] = [];
  readonly #kernel: MmState;
  readonly #change: AttributeChange;
  /** The same without NX. */
  readonly #aliasChange: AttributeChange;

  constructor(kernel: MmState, change: AttributeChange) {
    this.#kernel = kernel;
    this.#change = change;
    const { set, clear } = change;
    this.#aliasChange = {
      set: { low: set.low, high: withoutXd(set.high) },
      clear: { low: clear.low, high: withoutXd(clear.high) },
    };
  }

  /** Entries changed in the range itself, and in aliases. */
  counts(): readonly [own: number, aliases: number] {
    const own = this.transitions.filter(({ primary }) => primary).length;
    return [own, this.transitions.length - own];
  }

  /** Puts all entries back. What was split stays split. */
  undo(): void {
    putBack(this.#kernel, this.transitions);
  }

  /** `__change_page_attr_set_clr` for the range that was asked for. */
  change(start: VirtualFrame, pages: number, aliases: boolean): void {
    for (let done = 0; done < pages; ) {
      const at = (start + done) as VirtualFrame;
      const step = this.#step(at, pages - done, this.#change, true);
      if (aliases && step.frame !== undefined) this.#changeAliases(at, step.frame, step.pages);
      done += step.pages;
    }
  }

  /** `cpa_process_alias`. */
  #changeAliases(at: VirtualFrame, frame: Gfn, pages: number): void {
    const { layout, image, memoryMap } = this.#kernel;
    if (frame >= memoryMap.ramEnd) return;
    const inDirectMap = at >= layout.directMap && at < layout.directMap + memoryMap.ramEnd;
    if (!inDirectMap) this.#changeAlias((layout.directMap + frame) as VirtualFrame, pages);
    if (at >= image.start && at < image.brkEnd) return;
    const alias = image.virtualFrame(frame);
    if (alias !== undefined) this.#changeAlias(alias, Math.min(pages, image.end - alias));
  }

  #changeAlias(start: VirtualFrame, pages: number): void {
    for (let done = 0; done < pages; ) {
      const at = (start + done) as VirtualFrame;
      done += this.#step(at, pages - done, this.#aliasChange, false).pages;
    }
  }

  /** `__change_page_attr`: one leaf, or the part of it that the range needs. */
  #step(at: VirtualFrame, rest: number, change: AttributeChange, primary: boolean): Progress {
    const { tables } = this.#kernel;
    for (;;) {
      const entry = tables.lookup(at);
      if (entry === undefined || isNone(entry)) return this.#hole(at, primary);
      const size = framesOfLevel(entry.level);
      const offset = at % size;
      const frame = (storedFrame(entry.low, entry.high, entry.level) + offset) as Gfn;
      const pages = Math.min(rest, size - offset);
      if (entry.level === 1) {
        this.#changePage(at, entry, frame, change, primary);
        return { pages: 1, frame };
      }
      if (this.#changeLarge(at, entry, pages, change, primary)) return { pages, frame };
      const { stoppedAt, why } = tables.split(at, entry);
      if (stoppedAt !== undefined) fail(Errno.ENOMEM, `a leaf could not be split: ${why}`);
    }
  }

  /** `__cpa_process_fault`: holes of the direct map, and of aliases, are passed over. */
  #hole(at: VirtualFrame, primary: boolean): Progress {
    const { layout, memoryMap, emit } = this.#kernel;
    if (!primary) return { pages: 1, frame: undefined };
    const frame = at - layout.directMap;
    if (frame >= 0 && frame < memoryMap.ramEnd) return { pages: 1, frame: frame as Gfn };
    emit({ type: 'warning', text: `CPA: called for zero pte. vaddr = ${hex(BigInt(at) << 12n)}` });
    return fail(Errno.EFAULT, 'nothing is mapped there');
  }

  #changePage(
    at: VirtualFrame,
    entry: TableEntry,
    frame: Gfn,
    change: AttributeChange,
    primary: boolean,
  ): void {
    const old = plainLeaf(entry.low, entry.high, 1);
    const wanted = withPresenceBits(applied(old, change), 1);
    const allowed = allow(wanted, forbiddenBits(this.#kernel, at, frame, 1));
    const next = violatesWx(this.#kernel, old, allowed, at, frame, 1) ? old : allowed;
    this.#set(entry, { at, frame, frames: 1, old, next }, primary);
  }

  /**
   * `should_split_large_page`: whether a large leaf could stay as it is or change as a whole. If not it must be split.
   *
   * A leaf that needs no change is never split; one that is covered changes, unless something forbids a part of it.
   */
  #changeLarge(
    at: VirtualFrame,
    entry: TableEntry,
    pages: number,
    change: AttributeChange,
    primary: boolean,
  ): boolean {
    const { level } = entry;
    const old = plainLeaf(entry.low, entry.high, level);
    const wanted = withPresenceBits(applied(old, change), level);
    if (wanted.low === old.low && wanted.high === old.high) return true;
    if (pages < framesOfLevel(level)) return false;
    const frame = storedFrame(entry.low, entry.high, level);
    const forbidden = forbiddenBits(this.#kernel, at, frame, pages);
    const allowed = allow(wanted, forbidden);
    if (allowed.low !== wanted.low || allowed.high !== wanted.high) return false;
    if (violatesWx(this.#kernel, old, wanted, at, frame, pages)) return false;
    this.#set(entry, { at, frame, frames: pages, old, next: wanted }, primary);
    return true;
  }

  #set(entry: TableEntry, transition: LeafTransition, primary: boolean): void {
    const { at, frame, frames, old, next } = transition;
    if (next.low === old.low && next.high === old.high) return;
    const bits = storedLeaf(next);
    this.#kernel.tables.setEntry(entry, bits.low, bits.high);
    // Field by field: a boot makes tens of thousands, and a spread takes several times as long.
    this.transitions.push({ at, frame, frames, old, next, entry, primary });
  }
}

const withoutXd = (high: number): number => (high & ~XD) >>> 0;

function allow({ low, high }: U64, forbidden: U64): U64 {
  if ((low & P) === 0) return { low, high };
  return { low: (low & ~forbidden.low) >>> 0, high: (high & ~forbidden.high) >>> 0 };
}
