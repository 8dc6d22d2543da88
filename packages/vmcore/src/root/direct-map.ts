import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { GIB_FRAMES, gibsThatMap, KERNEL_MAP, type KernelTables, mappedFrame } from './kernel-tables.ts';

/** The region in which a kernel has all its memory mapped, every frame as far from its start as from address 0. */
export interface DirectMap {
  /** Where frame 0 is mapped, or would be: `page_offset_base`. */
  readonly start: VirtualFrame;
  /** One past its last mapping. */
  readonly end: VirtualFrame;
  /** The frames that it maps, ascending and joined. */
  readonly frames: readonly FrameRange<Gfn>[];
  /** Pages in the region that lead to other frames than their own: damage, or an attack. */
  readonly strayPages: number;
}

/** More places in which a root table is mapped so than a sound kernel has: it has one. */
const MOST_PLACES = 16;
/** How far Linux's direct map reaches at most (Documentation/arch/x86/x86_64/mm.rst): 64 TiB, and 32 PiB. */
const MOST_FRAMES = { 4: 2 ** 34, 5: 2 ** 43 } as const;

/** 512 GiB mapped by 4-KiB pages. Tables that point to each other have no end. */
export const MOST_TABLES = 2 ** 18;

/**
 * Where a direct map of these tables may begin. A kernel edits its page tables through it, so they are mapped there, the root
 * among them; and KASLR moves it by whole GiB (arch/x86/mm/kaslr.c). So a GiB in which the root is as far from the start as
 * it is in its own GiB of memory tells where frame 0 is.
 */
export function directMapStarts(tables: KernelTables): VirtualFrame[] {
  const { root, levels } = tables;
  const gib = root - (root % GIB_FRAMES);
  return gibsThatMap(tables, root, MOST_PLACES)
    .map((at) => (at - gib) as VirtualFrame)
    .filter((start) => start >= upperHalfStart(levels));
}

/** Whether the direct map from `start` on maps `frame`. */
export function isDirectlyMapped(tables: KernelTables, start: VirtualFrame, frame: Gfn): boolean {
  const at = start + frame;
  return at < KERNEL_MAP && mappedFrame(tables, at as VirtualFrame) === frame;
}

/** What the direct map from `start` on maps; `undefined` when there are more tables to it than {@link MOST_TABLES}. */
export function surveyDirectMap(tables: KernelTables, start: VirtualFrame): DirectMap | undefined {
  const { memory, root, levels, encryptionBit } = tables;
  const frames: { start: Gfn; end: Gfn }[] = [];
  const limit = Math.min(KERNEL_MAP, start + MOST_FRAMES[levels]) as VirtualFrame;
  let strayPages = 0;
  let strayBefore = 0;
  const { stoppedAt } = walkMappings(
    { memory, root, levels, encryptionBit, budget: MOST_TABLES },
    start,
    limit,
    (leaf) => {
      if (leaf.virtualFrame - leaf.guestFrame !== start) {
        // What comes behind the direct map is not in it.
        strayBefore += leaf.frames;
        return;
      }
      strayPages += strayBefore;
      strayBefore = 0;
      const end = (leaf.guestFrame + leaf.frames) as Gfn;
      const last = frames.at(-1);
      if (last !== undefined && last.end === leaf.guestFrame) last.end = end;
      else frames.push({ start: leaf.guestFrame, end });
    },
  );
  if (stoppedAt !== undefined) return undefined;
  const end = (start + (frames.at(-1)?.end ?? 0)) as VirtualFrame;
  return { start, end, frames, strayPages };
}
