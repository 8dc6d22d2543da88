import {
  type FrameRange,
  type Gfn,
  type MemoryMap,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { KernelTables } from '@heki/vmcore';
import { upperHalfStart, walkMappings } from '@heki/x86';
import type { CollectiveRights } from './collective-rights.ts';

/** RAM that the direct map lacks. */
export interface RamOutsideDirectMap extends FrameRange<Gfn> {
  /** What the kernel's mappings elsewhere allow together, an OR of `KernelRights`; 0 without any. */
  readonly allowed: number;
  /** Where the kernel has the first frame mapped. */
  readonly mappedAt: VirtualAddress | undefined;
}

/**
 * The RAM of `memoryMap` that the direct map lacks, ascending, in stretches of equal rights. A kernel takes pages out of its direct map
 * for secretmem and execmem, for guards, and with debug_pagealloc when it frees them.
 */
export function ramOutsideDirectMap({
  tables,
  covered,
  memoryMap,
  mappings,
}: {
  readonly tables: KernelTables;
  /** The frames that the direct map has, ascending. */
  readonly covered: readonly FrameRange<Gfn>[];
  readonly memoryMap: MemoryMap<Gfn>;
  /** The rights of all frames below the end of RAM. */
  readonly mappings: CollectiveRights;
}): RamOutsideDirectMap[] {
  const found: { -readonly [Key in keyof RamOutsideDirectMap]: RamOutsideDirectMap[Key] }[] = [];
  let next = 0;
  for (const { start, end, type } of memoryMap.entries) {
    if (type !== 'ram') continue;
    for (let frame: number = start; frame < end; ) {
      while ((covered[next]?.end ?? Number.POSITIVE_INFINITY) <= frame) next++;
      const part = covered[next];
      if (part !== undefined && part.start <= frame) {
        frame = part.end;
        continue;
      }
      const allowed = mappings.of(frame);
      const until = mappings.next(frame, Math.min(end, part?.start ?? end)) as Gfn;
      const last = found.at(-1);
      if (last !== undefined && last.end === frame && last.allowed === allowed) last.end = until;
      else found.push({ start: frame as Gfn, end: until, allowed, mappedAt: undefined });
      frame = until;
    }
  }

  const mapped = found.filter(({ allowed }) => allowed !== 0);
  if (mapped.length === 0) return found;
  const end = VIRTUAL_FRAME_END as VirtualFrame;
  walkMappings(tables, upperHalfStart(tables.levels), end, ({ virtualFrame, guestFrame, frames }) => {
    for (let at = firstFrom(mapped, guestFrame); at < mapped.length; at++) {
      const range = mapped[at];
      if (range === undefined || range.start >= guestFrame + frames) return;
      range.mappedAt ??= virtualAddressOf((virtualFrame + range.start - guestFrame) as VirtualFrame);
    }
  });
  return found;
}

/** The index of the first of these ascending ranges that begins at `frame` or behind it. */
function firstFrom(ranges: readonly FrameRange<Gfn>[], frame: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.start ?? 0) >= frame) high = middle;
    else low = middle + 1;
  }
  return low;
}
