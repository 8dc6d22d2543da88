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

/** Calls `visit` for the frames of a mapping that are wanted, and says whether the kernel was granted to execute them. */
type Wanted = (leaf: MappingLeaf, visit: (start: number, end: number, granted: boolean) => void) => void;

/** A mapping as the guest has it, and whether the kernel was granted to execute its frame. */
interface FoundPage {
  readonly page: ListedPage;
  readonly granted: boolean;
}

/** Guest frames that are protected from stores. */
interface Locked {
  readonly start: number;
  readonly end: number;
  readonly granted: boolean;
}

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
  /** Where frames are executed that the kernel was granted to execute. */
  const code = new Map<Gfn, VirtualFrame>();

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
    code.clear();
    unlisted = 0;
  }

  /**
   * Lists pages that were found together. A frame that is executed at one address is not at another: whoever asks again may have put it there. One that was
   * mapped as code at several when it became code is executed at none: which is the kernel's own nobody can tell, and the others were there before.
   */
  function listAll(into: HlatTables, found: readonly FoundPage[]): boolean {
    // Ranges of one request may overlap: an address that is found twice is one.
    const places = new Map<Gfn, VirtualFrame | 'several'>();
    for (const { page, granted } of found) {
      const { frame, gfn, high } = page;
      if (!granted) code.delete(gfn);
      else if (high === 0) places.set(gfn, (places.get(gfn) ?? frame) === frame ? frame : 'several');
    }
    let isNew = false;
    for (const { page, granted } of found) {
      const { frame, gfn, high } = page;
      if (granted && high === 0 && places.get(gfn) === frame && !code.has(gfn)) code.set(gfn, frame);
      const bits = !granted ? high : code.get(gfn) === frame ? 0 : EntryHigh.XD;
      if (list(into, { ...page, high: bits })) isNew = true;
    }
    // What was listed before, when the frame was no code, and is mapped no longer.
    for (const gfn of places.keys()) {
      for (const frame of byGfn.get(gfn) ?? []) {
        const page = pages.get(frame);
        if (page?.high !== 0 || code.get(gfn) === frame) continue;
        if (list(into, { ...page, high: EntryHigh.XD })) isNew = true;
      }
    }
    return isNew;
  }

  function list(into: HlatTables, page: ListedPage): boolean {
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
    code.delete(gfn);
    for (const frame of byGfn.get(gfn) ?? []) {
      if (pages.get(frame)?.fixed === true) continue;
      from.unmap(frame);
      pages.delete(frame);
      byGfn.get(gfn)?.delete(frame);
      dropped = true;
    }
    return dropped;
  }

  /** What the guest's tables map within `areas`, as far as `wanted` says, as it is to be listed. */
  function findMappings(
    walk: LinearMemory,
    areas: readonly LinearRange[],
    fixed: boolean,
    wanted: Wanted,
  ): FoundPage[] {
    const found: FoundPage[] = [];
    for (const { start: from, end: to } of areas) {
      const start = Math.max(from, upperHalfStart(walk.levels)) as VirtualFrame;
      if (start >= to) continue;
      walkMappings(walk, start, to, (leaf) => {
        const bits = leafBits(leaf);
        wanted(leaf, (first, end, granted) => {
          for (let gfn = first; gfn < end; gfn++) {
            const frame = (leaf.virtualFrame + (gfn - leaf.guestFrame)) as VirtualFrame;
            found.push({ page: { frame, gfn: gfn as Gfn, fixed, ...bits }, granted });
          }
        });
      });
    }
    return found;
  }

  function follow(ranges: readonly ChangedFrames[], caller: Vcpu | undefined): void {
    const vcpu = caller ?? vm().vcpus.find(isPaging);
    let changed = false;
    const locked: Locked[] = [];
    for (const { start: first, end } of ranges) {
      for (const { start: from, end: to, rights } of vm().owner.asked(first, end)) {
        if (!rights.write) locked.push({ start: from, end: to, granted: rights.supervisorExecute });
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
        const whole: Wanted = ({ guestFrame, frames }, visit) => visit(guestFrame, guestFrame + frames, true);
        const forProcessor = first ? descriptorTables(vcpu, walk) : [];
        const tablesOfIt = findMappings(walk, [...settings.tables, ...forProcessor], true, whole);
        changed = listAll(into, tablesOfIt) || changed;
        changed = listAll(into, findMappings(walk, settings.areas, false, within(locked))) || changed;
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
        for (const page of wanted) {
          const { frame, gfn, high } = page;
          const [range] = vm().owner.asked(gfn, (gfn + 1) as Gfn);
          if (list(into, page) && high === 0 && range?.rights.supervisorExecute === true)
            code.set(gfn, frame);
        }
      }
      flushRemoteTlbs(vm());
    },
  };
}

/** The frames of a mapping that lie in ranges. */
function within(ranges: Locked[]): Wanted {
  const sorted = ranges.sort((a, b) => a.start - b.start);
  return ({ guestFrame, frames }, visit) => {
    const end = guestFrame + frames;
    for (const range of sorted) {
      if (range.start >= end) break;
      if (range.end > guestFrame)
        visit(Math.max(range.start, guestFrame), Math.min(range.end, end), range.granted);
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
