import {
  type FrameRange,
  type Gfn,
  joinedRanges,
  type MemoryMap,
  type VirtualFrame,
} from '@heki/physical-memory';
import { addressHigh, entryFrame, framesOfLevel, isLeaf, type Level } from '@heki/x86';
import { type Range, without } from '../range.ts';
import type { KernelTables } from './kernel-tables.ts';
import type { ProvenRoot } from './proven-root.ts';

/** The first mebibyte: Linux maps all of it, whatever the memory map says (arch/x86/mm/init.c, init_mem_mapping). */
const LOW_FRAMES = { start: 0, end: 0x100 };

/** How a memory map agrees with a kernel's direct map. The first mebibyte is left out. */
export interface MemoryMapFit {
  /** RAM of the map for which the direct map has no entry: the kernel does not know of it. */
  readonly unknown: readonly FrameRange<Gfn>[];
  /** RAM of the map whose entry in the direct map was cleared or leads elsewhere: secretmem, debug_pagealloc, poisoned pages. */
  readonly cleared: readonly FrameRange<Gfn>[];
  /** What the direct map maps, and the map names in no entry. */
  readonly unnamed: readonly FrameRange<Gfn>[];
}

/** Compares a memory map with what a kernel has in its direct map. */
export function fitOfMemoryMap(kernel: ProvenRoot, map: MemoryMap<Gfn>): MemoryMapFit {
  const { directMap } = kernel;
  const ram: readonly Range[] = map.entries.filter(({ type }) => type === 'ram');
  const unknown: Range[] = [];
  const cleared: Range[] = [];
  for (const { start, end } of without(without(ram, directMap.frames), [LOW_FRAMES])) {
    for (let frame = start; frame < end; ) {
      const { low, high, end: reach } = lastEntryAt(kernel, (directMap.start + frame) as VirtualFrame);
      const next = Math.min(end, reach - directMap.start);
      (low !== 0 || high !== 0 ? cleared : unknown).push({ start: frame, end: next });
      frame = next;
    }
  }
  return {
    unknown: frameRanges(joinedRanges(unknown)),
    cleared: frameRanges(joinedRanges(cleared)),
    unnamed: frameRanges(without(without(directMap.frames, map.entries), [LOW_FRAMES])),
  };
}

/** An entry of the page tables, and where what it translates ends. */
export interface LastEntry {
  readonly level: Level;
  readonly low: number;
  readonly high: number;
  /** One past the last virtual frame. */
  readonly end: VirtualFrame;
}

/** The last entry on the way to `at`, a frame of the kernel's half: a leaf, or one that is not present. It is 0 below a table that memory does not hold. */
export function lastEntryAt(
  { memory, root, levels, encryptionBit }: KernelTables,
  at: VirtualFrame,
): LastEntry {
  const addressBits = addressHigh(encryptionBit);
  let table: Gfn = root;
  for (let level: Level = levels; ; level = (level - 1) as Level) {
    const span = framesOfLevel(level);
    const slot = Math.floor(at / span) % 512;
    const page = memory.page(table);
    const low = page?.[2 * slot] ?? 0;
    const high = page?.[2 * slot + 1] ?? 0;
    if (low % 2 === 0 || isLeaf(low, level)) {
      return { level, low, high, end: (at - (at % span) + span) as VirtualFrame };
    }
    table = entryFrame(low, high, addressBits);
  }
}

function frameRanges(ranges: readonly Range[]): FrameRange<Gfn>[] {
  return ranges.map(({ start, end }) => ({ start: start as Gfn, end: end as Gfn }));
}
