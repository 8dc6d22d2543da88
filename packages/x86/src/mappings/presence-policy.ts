import { EntryLow, type LeafLevel, type Level } from '../entries/entry.ts';

/**
 * Which entries a mapping walk follows. The processor looks at P alone; an operating system's walker may see more,
 * because it keeps bits in entries that are not present.
 */
export interface PresencePolicy {
  readonly name: string;
  /** By level 1 to 5 (index 0 is unused): an entry counts as present when any of these bits of its low half is set. */
  readonly present: readonly [
    unused: 0,
    pte: number,
    pde: number,
    pdpte: number,
    pml4e: number,
    pml5e: number,
  ];
  /** By level 2 and 3: an entry that counts as present is a leaf when all of these bits of its low half are set. */
  readonly leaf: readonly [unused: 0, pte: 0, pde: number, pdpte: number];
  /** The frame of a leaf with P = 0 is stored with all its bits inverted. */
  readonly invertedWhenNotPresent: boolean;
}

const { P, PS, G } = EntryLow;

/** What the processor follows: P, and PS for leaves (SDM 3A 4.5). */
export const HARDWARE_PRESENCE: PresencePolicy = {
  name: 'hardware',
  present: [0, P, P, P, P, P],
  leaf: [0, 0, PS, PS],
  invertedWhenNotPresent: false,
};

/**
 * What Linux's helpers follow, and so the walker of the series (Heki v2 13/19): `pte_present` and `pmd_present` take
 * _PAGE_PROTNONE (bit 8) for present, too, and `pmd_present` also _PAGE_PSE (defect B-G15). `pmd_large` looks at PSE
 * alone, `pud_large` at P and PSE. `pte_pfn` and `pmd_pfn` undo the inversion of the frame in an entry without P
 * (arch/x86/include/asm/pgtable.h, pgtable-invert.h); on the way to a page table nothing does, so a 2-MiB entry with
 * PROTNONE and nothing else leads to the table that its bits name.
 */
export const LINUX_PRESENCE: PresencePolicy = {
  name: 'linux',
  present: [0, P | G, P | G | PS, P, P, P],
  leaf: [0, 0, PS, P | PS],
  invertedWhenNotPresent: true,
};

/** What an entry of `level` with this low half is to a walk: `leaf`, `table`, or `hole` where nothing is followed. */
export function entryKind(presence: PresencePolicy, level: Level, low: number): 'leaf' | 'table' | 'hole' {
  if ((low & presence.present[level]) === 0) return 'hole';
  if (level === 1) return 'leaf';
  const leaf = presence.leaf[level as LeafLevel] ?? 0;
  // No entry above a PDPTE is a leaf; one with PS set is still followed, as operating systems do.
  return leaf !== 0 && (low & leaf) === leaf ? 'leaf' : 'table';
}
