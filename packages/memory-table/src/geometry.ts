import { FRAME_END } from '@heki/physical-memory';

/** One level of the published radix tree (`struct mem_table_level`, Heki v2 12/19). */
export interface MemoryTableLevel {
  /** From 0, the level of 4-KiB entries. */
  readonly number: number;
  /** Entries of a table of this level: 512, or 1 for a level that the machine folds. */
  readonly entries: number;
  /** An entry covers 2^shift bytes. */
  readonly shift: number;
  /** `entries` - 1: what an index is masked with. */
  readonly mask: number;
}

/** The shape of a memory table: it mirrors the page tables of the kernel that it is built for. */
export interface MemoryTableGeometry {
  /** From the 4-KiB level up. */
  readonly levels: readonly MemoryTableLevel[];
  /** Bits of a physical address that take part in the indices. */
  readonly physicalBits: number;
}

/** What the geometry depends on. */
export interface GeometryOptions {
  /** CONFIG_X86_5LEVEL: the kernel can use 5-level paging. Default true. */
  readonly fiveLevelKernel?: boolean;
  /** The kernel runs with CR4.LA57 = 1. Default false. */
  readonly la57?: boolean;
  /** B-G8: the number of levels is CONFIG_PGTABLE_LEVELS, although one of them is folded. Default false. */
  readonly foldedLevelCounted?: boolean;
}

const PAGE_SHIFT = 12;

/**
 * The geometry that `mem_table_init` computes (Heki v2 12/19): a level for each of PTE, PMD, PUD, P4D and PGD, with
 * as many entries as the page table of that name has, until MAX_PHYSMEM_BITS (46; 52 with LA57) are covered. Without
 * LA57 the P4D is folded: it has one entry.
 */
export function memoryTableGeometry(options: GeometryOptions = {}): MemoryTableGeometry {
  const { fiveLevelKernel = true, la57 = false, foldedLevelCounted = false } = options;
  const fiveLevels = fiveLevelKernel && la57;
  const entriesOfLevel = [512, 512, 512, fiveLevels ? 512 : 1, 512];
  if (foldedLevelCounted && !fiveLevelKernel) entriesOfLevel.pop();
  const maxPhysicalBits = fiveLevels ? 52 : 46;

  const levels: MemoryTableLevel[] = [];
  let bits = PAGE_SHIFT;
  for (const [number, entries] of entriesOfLevel.entries()) {
    if (bits >= maxPhysicalBits) break;
    levels.push({ number, entries, shift: bits, mask: entries - 1 });
    bits += Math.log2(entries);
  }
  return { levels, physicalBits: bits };
}

/** Frames that have an entry of their own: 2^(physicalBits - 12), at most as many as physical memory can have. */
export function coveredFrames(geometry: MemoryTableGeometry): number {
  return Math.min(2 ** (geometry.physicalBits - PAGE_SHIFT), FRAME_END);
}
