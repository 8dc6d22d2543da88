import { type WordMasks, wordMasks } from '../bit-table.ts';

/**
 * What all entries of a walk together grant: U/S and R/W are the AND over the entries, XD the OR; D and G are the
 * leaf's own (G only under CR4.PGE). WRITE, USER, DIRTY and GLOBAL stand where entries have them.
 */
export const PAGE_RIGHTS_BITS = {
  EXECUTE_DISABLE: { bit: 0, meaning: 'XD = 1 in some entry (and EFER.NXE)', source: 'SDM 3A 4.6.1' },
  WRITE: { bit: 1, meaning: 'R/W = 1 in every entry', source: 'SDM 3A 4.6.1' },
  USER: { bit: 2, meaning: 'U/S = 1 in every entry', source: 'SDM 3A 4.6.1' },
  DIRTY: { bit: 6, meaning: 'D = 1 in the leaf', source: 'SDM 3A 4.8' },
  GLOBAL: { bit: 8, meaning: 'G = 1 in the leaf (and CR4.PGE)', source: 'SDM 3A 4.10.2.4' },
} as const;

/** Masks of {@link PAGE_RIGHTS_BITS}: `PageRights.USER`. */
export const PageRights: WordMasks<typeof PAGE_RIGHTS_BITS> = wordMasks(PAGE_RIGHTS_BITS);
