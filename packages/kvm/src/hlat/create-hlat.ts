import type { Host } from '@heki/hypervisor';
import { frameOf, type Gfn, type Gpa, type VirtualFrame } from '@heki/physical-memory';
import type { TableFrames } from '@heki/second-level';
import type { Vcpu } from '@heki/vcpu';
import {
  CR0,
  CR4,
  EFER,
  EntryHigh,
  EntryLow,
  type MappingLeaf,
  PageRights,
  type PagingLevels,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import { flushRemoteTlbs } from '../mmu/zap.ts';
import type { VmState } from '../vm-state.ts';
import type { ChangedFrames, Hlat, ListedPage } from './hlat.ts';
import { createHlatTables, type HlatTables, type LeafBits, WINDOW_FRAMES } from './hlat-tables.ts';
import type { HlatSettings, LinearRange } from './options.ts';
import { descriptorTables, type LinearMemory } from './processor-tables.ts';

/** Calls `visit` for the frames of a mapping that are wanted. */
type Wanted = (leaf: MappingLeaf, visit: (start: number, end: number) => void) => void;

/** Bits 51:12 of CR3. */
const CR3_ADDRESS = 0xf_ffff_ffff_f000n;

export function createHlat(options: {
  readonly vm: () => VmState;
  readonly host: Host;
  readonly settings: HlatSettings;
  /** One past the last guest frame that there can be. */
  readonly frameEnd: number;
}): Hlat {
  const { vm, host, settings } = options;
  const frames: TableFrames = host.frames;
  // EPT of four levels reaches 48 bits (SDM 3C 29.3.2).
  const window = (Math.min(options.frameEnd, 2 ** 36) - WINDOW_FRAMES) as Gfn;
  let tables: HlatTables | undefined;
  let unlisted = 0;
  const pages = new Map<VirtualFrame, ListedPage>();
  /** Linear addresses by the frame that they map. */
  const byGfn = new Map<Gfn, Set<VirtualFrame>>();

  function root(): { readonly pointer: Gpa; readonly prefixBits: number } | undefined {
    // The kernel's half: its addresses have bits 63:47, or 63:56, set.
    return tables && { pointer: tables.pointer, prefixBits: tables.levels === 4 ? 17 : 8 };
  }

  function start(levels: PagingLevels): HlatTables {
    const { tables: secondLevel } = vm();
    tables = createHlatTables({
      memory: host.memory,
      frames,
      levels,
      window,
      restart: settings.restart,
      install: (gfn, pfn) => secondLevel.installOwnTable(gfn, pfn),
      remove: (gfn) => secondLevel.editor.unmap(gfn, (gfn + 1) as Gfn),
    });
    for (const vcpu of vm().vcpus) vcpu.controls.hlat = root();
    return tables;
  }

  function stop(): void {
    for (const vcpu of vm().vcpus) vcpu.controls.hlat = undefined;
    tables?.free();
    tables = undefined;
    pages.clear();
    byGfn.clear();
    unlisted = 0;
  }

  /** A frame that is executed at one address is not at another: whoever asks again may have put it there. */
  function executedElsewhere({ frame, gfn }: ListedPage): boolean {
    for (const other of byGfn.get(gfn) ?? []) {
      const high = other === frame ? undefined : pages.get(other)?.high;
      if (high === 0) return true;
    }
    return false;
  }

  function list(into: HlatTables, wanted: ListedPage): boolean {
    const page = wanted.high === 0 && executedElsewhere(wanted) ? { ...wanted, high: EntryHigh.XD } : wanted;
    const known = pages.get(page.frame);
    // What is listed leads where it does: a later request cannot approve another mapping, but other rights of the same one.
    if (known !== undefined && known.gfn !== page.gfn) {
      unlisted++;
      return false;
    }
    const fixed = page.fixed || known?.fixed === true;
    if (known?.low === page.low && known.high === page.high && known.fixed === fixed) return false;
    if (!into.map(page.frame, page.gfn, page)) {
      unlisted++;
      return false;
    }
    pages.set(page.frame, { ...page, fixed });
    const names = byGfn.get(page.gfn) ?? new Set();
    byGfn.set(page.gfn, names.add(page.frame));
    return true;
  }

  function drop(from: HlatTables, gfn: Gfn): boolean {
    let dropped = false;
    for (const frame of byGfn.get(gfn) ?? []) {
      if (pages.get(frame)?.fixed === true) continue;
      from.unmap(frame);
      pages.delete(frame);
      byGfn.get(gfn)?.delete(frame);
      dropped = true;
    }
    return dropped;
  }

  /** Lists what the guest's tables map within `linear`, as far as `wanted` says. Whether something is new. */
  function listMappings(
    into: HlatTables,
    walk: LinearMemory,
    linear: LinearRange,
    fixed: boolean,
    wanted: Wanted,
  ): boolean {
    const first = Math.max(linear.start, upperHalfStart(into.levels)) as VirtualFrame;
    if (first >= linear.end) return false;
    let isNew = false;
    walkMappings(walk, first, linear.end, (leaf) => {
      const bits = leafBits(leaf);
      wanted(leaf, (from, to) => {
        for (let gfn = from; gfn < to; gfn++) {
          const frame = (leaf.virtualFrame + (gfn - leaf.guestFrame)) as VirtualFrame;
          if (list(into, { frame, gfn: gfn as Gfn, fixed, ...bits })) isNew = true;
        }
      });
    });
    return isNew;
  }

  function follow(ranges: readonly ChangedFrames[], caller: Vcpu | undefined): void {
    const vcpu = caller ?? vm().vcpus.find(isPaging);
    let changed = false;
    const locked: { start: number; end: number }[] = [];
    for (const { start: first, end } of ranges) {
      for (const { start: from, end: to, rights } of vm().owner.asked(first, end)) {
        if (!rights.write) locked.push({ start: from, end: to });
        else if (!rights.supervisorExecute && tables !== undefined) {
          for (const gfn of framesWithin(byGfn, from, to)) changed = drop(tables, gfn) || changed;
        }
      }
    }
    if (locked.length > 0 && vcpu !== undefined && isPaging(vcpu)) {
      const levels = (vcpu.registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
      // What descriptor-table registers say later may be an attacker's.
      const first = tables === undefined;
      const into = tables ?? start(levels);
      if (into.levels === levels) {
        const root = frameOf(Number(vcpu.registers.cr3 & CR3_ADDRESS) as Gpa);
        const walk: LinearMemory = { memory: vm().memory, root, levels };
        const whole: Wanted = ({ guestFrame, frames }, visit) => visit(guestFrame, guestFrame + frames);
        const forProcessor = first ? descriptorTables(vcpu, walk) : [];
        for (const area of [...settings.tables, ...forProcessor]) {
          changed = listMappings(into, walk, area, true, whole) || changed;
        }
        const wanted = within(locked);
        for (const area of settings.areas) {
          changed = listMappings(into, walk, area, false, wanted) || changed;
        }
      }
    }
    if (!changed) return;
    // Translations through CR3's tables may be cached, and those that are listed no longer (SDM 3C 29.4.3).
    flushRemoteTlbs(vm());
    vm().emit?.({ type: 'hlat', listed: pages.size, unlisted, tables: tables?.pages ?? 0 });
  }

  return {
    settings,
    pages,
    get tablePages() {
      return tables?.pages ?? 0;
    },
    get unlisted() {
      return unlisted;
    },
    get levels() {
      return tables?.levels;
    },
    owns: (gfn) => gfn >= window && gfn < window + WINDOW_FRAMES,
    overlaps: (first, end) => first < window + WINDOW_FRAMES && window < end,
    follow,
    join(vcpu) {
      vcpu.controls.hlat = root();
    },
    replace(wanted, levels) {
      stop();
      if (levels !== undefined) {
        const into = start(levels);
        for (const page of wanted) list(into, page);
      }
      flushRemoteTlbs(vm());
    },
  };
}

/** The frames of a mapping that lie in ranges. */
function within(ranges: { readonly start: number; readonly end: number }[]): Wanted {
  const sorted = ranges.sort((a, b) => a.start - b.start);
  return ({ guestFrame, frames }, visit) => {
    const end = guestFrame + frames;
    for (const range of sorted) {
      if (range.start >= end) break;
      if (range.end > guestFrame) visit(Math.max(range.start, guestFrame), Math.min(range.end, end));
    }
  };
}

function isPaging({ registers }: Vcpu): boolean {
  return (registers.cr0 & CR0.PG) !== 0n && (registers.efer & EFER.LMA) !== 0n;
}

/** Frames of `start` .. `end` - 1 that are keys, by the smaller of two amounts of work. */
function framesWithin(map: ReadonlyMap<Gfn, unknown>, start: number, end: number): Gfn[] {
  if (map.size < end - start) return [...map.keys()].filter((gfn) => gfn >= start && gfn < end);
  const found: Gfn[] = [];
  for (let gfn = start; gfn < end; gfn++) if (map.has(gfn as Gfn)) found.push(gfn as Gfn);
  return found;
}

/** A leaf with the rights that a mapping has over all its levels, global as it is, accessed and dirty, so that no walk writes flags. */
function leafBits({ low, effective }: MappingLeaf): LeafBits {
  return {
    low:
      EntryLow.P |
      EntryLow.A |
      EntryLow.D |
      (low & EntryLow.G) |
      ((effective & PageRights.WRITE) !== 0 ? EntryLow.RW : 0) |
      ((effective & PageRights.USER) !== 0 ? EntryLow.US : 0),
    high: (effective & PageRights.EXECUTE_DISABLE) !== 0 ? EntryHigh.XD : 0,
  };
}
