import { type WordMasks, wordMasks } from '@heki/x86';

/**
 * An EPT paging-structure entry (SDM 3C 29.3.2, tables 29-1 to 29-7). Levels are numbered as those of guest paging:
 * 5 PML5E, 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE. An entry is present when any of R, W, X, or under MBEC XU, is 1.
 */
export const EPT_ENTRY_BITS = {
  R: { bit: 0, meaning: 'reads are allowed', source: 'SDM 3C 29.3.2' },
  W: { bit: 1, meaning: 'writes are allowed', source: 'SDM 3C 29.3.2' },
  X: {
    bit: 2,
    meaning: 'fetches are allowed; under MBEC those from supervisor-mode linear addresses (XS)',
    source: 'SDM 3C 29.3.2',
  },
  MEMORY_TYPE: {
    bit: 3,
    width: 3,
    meaning: '0 UC, 1 WC, 4 WT, 5 WP, 6 WB (leaf; otherwise reserved)',
    source: 'SDM 3C 29.3.7',
  },
  IPAT: { bit: 6, meaning: 'ignore the guest PAT (leaf; otherwise reserved)', source: 'SDM 3C 29.3.7' },
  LARGE: { bit: 7, meaning: 'leaf (PDPTE, PDE); reserved above, ignored in a PTE', source: 'SDM 3C 29.3.2' },
  A: { bit: 8, meaning: 'accessed, when EPTP bit 6 is 1', source: 'SDM 3C 29.3.5' },
  D: { bit: 9, meaning: 'dirty, when EPTP bit 6 is 1 (leaf; otherwise ignored)', source: 'SDM 3C 29.3.5' },
  XU: {
    bit: 10,
    meaning: 'under MBEC, fetches from user-mode linear addresses are allowed; otherwise ignored',
    source: 'SDM 3C 29.3.2',
  },
  FRAME: {
    bit: 12,
    width: 40,
    meaning: 'frame; bits from MAXPHYADDR on are reserved',
    source: 'SDM 3C 29.3.2',
  },
  VGP: {
    bit: 57,
    meaning: 'verify guest paging, under tertiary control 3 (leaf; otherwise ignored)',
    source: 'SDM 3C 29.3.3.2',
  },
  PWA: {
    bit: 58,
    meaning: 'paging-write access, under tertiary control 2 (leaf; otherwise ignored)',
    source: 'SDM 3C 29.3.3.2',
  },
  SSS: {
    bit: 60,
    meaning: 'supervisor shadow-stack page, when EPTP bit 7 is 1 (leaf; otherwise ignored)',
    source: 'SDM 3C 29.3.3.2',
  },
  SVE: { bit: 63, meaning: 'suppress #VE, also in an entry that is not present', source: 'SDM 3C 26.5.7.1' },
} as const;

/** Masks of the low half of an entry, bits 31:0; 0 for what lies above. */
export const EptLow: WordMasks<typeof EPT_ENTRY_BITS> = wordMasks(EPT_ENTRY_BITS);
/** Masks of the high half of an entry, bits 63:32; 0 for what lies below. */
export const EptHigh: WordMasks<typeof EPT_ENTRY_BITS> = wordMasks(EPT_ENTRY_BITS, 1);
/** R, W, X and XU in the low half. */
export const EPT_RIGHTS: number = EptLow.R | EptLow.W | EptLow.X | EptLow.XU;

/** Values of the memory-type field (SDM 3A 12.3); 2, 3 and 7 are reserved. */
export const EptMemoryType = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6 } as const;
