import {
  type Gfn,
  type PhysicalMemory,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import {
  addressHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  isLeaf,
  type Level,
  type PagingLevels,
} from '@heki/x86';
import type { Range } from '../range.ts';

/** Page tables: what a walk starts from. */
export interface KernelTables {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** The C-bit, 32 .. 51, where memory encryption is on. */
  readonly encryptionBit?: number | undefined;
}

/** `__START_KERNEL_map`: the kernel's image lies above, in 1 GiB, then modules and the fixmap; the direct map never. */
export const KERNEL_MAP: VirtualFrame = virtualFrameOf(virtualAddress(0xffff_ffff_8000_0000n));
/** Frames of 1 GiB: what a PDPTE spans, and KERNEL_IMAGE_SIZE (with KASLR). */
export const GIB_FRAMES = 2 ** 18;

/** The first slot of the kernel's half in a root table. */
export const KERNEL_SLOT = 256;

/** The frame that `virtualFrame` of the kernel's half is mapped to, as the processor sees it; `undefined` when it is not. */
export function mappedFrame(
  { memory, root, levels, encryptionBit }: KernelTables,
  virtualFrame: VirtualFrame,
): Gfn | undefined {
  return mappedBelow(memory, root, levels, virtualFrame, addressHigh(encryptionBit));
}

/** The same below a `table` of `level`. Of `virtualFrame` only the bits count that this table and those below translate. */
function mappedBelow(
  memory: PhysicalMemory<Gfn>,
  table: Gfn,
  level: Level,
  virtualFrame: number,
  addressBits: number,
): Gfn | undefined {
  let at = table;
  for (let depth: Level = level; ; depth = (depth - 1) as Level) {
    const page = memory.page(at);
    if (page === undefined) return undefined;
    const span = framesOfLevel(depth);
    const slot = Math.floor(virtualFrame / span) % 512;
    const low = page[2 * slot] ?? 0;
    const high = page[2 * slot + 1] ?? 0;
    if ((low & EntryLow.P) === 0) return undefined;
    const frame = entryFrame(low, high, addressBits);
    if (isLeaf(low, depth)) {
      // Bits below a large leaf's size are reserved, but the lowest, which is PAT: a PDE read as a PDPTE has some.
      if (frame % span > (depth === 1 ? 0 : 1)) return undefined;
      return (frame - (frame % span) + (virtualFrame % span)) as Gfn;
    }
    at = frame;
  }
}

/**
 * The frames of the tables of the kernel's half, the root first, each once however often it is used; at most `limit`. Tables
 * that memory does not hold are among them: entries name them.
 */
export function kernelTableFrames(tables: KernelTables, limit: number): Set<Gfn> {
  return tableFrames(tables, limit, { start: KERNEL_SLOT, end: 512 });
}

/** The same of user mode's half. */
export function userTableFrames(tables: KernelTables, limit: number): Set<Gfn> {
  return tableFrames(tables, limit, { start: 0, end: KERNEL_SLOT });
}

/** @param slots of the root */
function tableFrames(
  { memory, root, levels, encryptionBit }: KernelTables,
  limit: number,
  slots: Range,
): Set<Gfn> {
  const addressBits = addressHigh(encryptionBit);
  const found = new Set<Gfn>([root]);
  const queue: { readonly table: Gfn; readonly level: Level }[] = [{ table: root, level: levels }];
  // Level by level, so that a limit leaves out what is deepest.
  for (let index = 0; index < queue.length; index++) {
    const { table, level } = queue[index] ?? { table: root, level: 1 };
    const page = level === 1 ? undefined : memory.page(table);
    if (page === undefined) continue;
    const { start, end } = index === 0 ? slots : { start: 0, end: 512 };
    for (let slot = start; slot < end; slot++) {
      const low = page[2 * slot] ?? 0;
      const below = entryFrame(low, page[2 * slot + 1] ?? 0, addressBits);
      if ((low & EntryLow.P) === 0 || isLeaf(low, level) || found.has(below)) continue;
      if (found.size >= limit) return found;
      found.add(below);
      queue.push({ table: below, level: (level - 1) as Level });
    }
  }
  return found;
}

/**
 * Every GiB of the kernel's half below its image in which the frame `wanted` is mapped where a direct map has it: as far
 * from the start of the GiB as the frame lies from the start of its own. A table that is used at many addresses is
 * looked at once. At most `limit`, the lowest ones.
 */
export function gibsThatMap(
  { memory, root, levels, encryptionBit }: KernelTables,
  wanted: Gfn,
  limit: number,
): VirtualFrame[] {
  const addressBits = addressHigh(encryptionBit);
  const known: Record<number, Map<Gfn, readonly number[]>> = { 3: new Map(), 4: new Map(), 5: new Map() };

  /** The same below a table, as frames from its start, ascending. */
  const gibsBelow = (table: Gfn, level: Level): readonly number[] => {
    const before = known[level]?.get(table);
    if (before !== undefined) return before;
    const found: number[] = [];
    known[level]?.set(table, found);
    const page = memory.page(table);
    if (page === undefined) return found;
    const span = framesOfLevel(level);
    for (let slot = level === levels ? KERNEL_SLOT : 0; slot < 512 && found.length < limit; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      const start = slot * span;
      if (level === 3) {
        const at = start + (wanted % GIB_FRAMES);
        if (mappedBelow(memory, table, 3, at, addressBits) === wanted) found.push(start);
        continue;
      }
      const below = entryFrame(low, page[2 * slot + 1] ?? 0, addressBits);
      for (const gib of gibsBelow(below, (level - 1) as Level)) {
        if (found.length < limit) found.push(start + gib);
      }
    }
    return found;
  };
  const base = 2 ** 52 - 512 * framesOfLevel(levels);
  return gibsBelow(root, levels)
    .map((gib) => (base + gib) as VirtualFrame)
    .filter((at) => at < KERNEL_MAP);
}
