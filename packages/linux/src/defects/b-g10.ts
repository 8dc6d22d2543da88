import type { Defect } from '@heki/series';

export const B_G10: Defect = {
  title: 'A mapping that failed half way is taken out of counters that never had it',
  happens:
    'When no page is left for a page table, vmap takes down what it had mapped, and Heki counts each of these pages down: a warning for pages without counters, and counters that say less than the mappings for the others.',
  why: 'vmap_small_pages_range_noflush calls Heki only when all is mapped, its error path unmaps through __vunmap_range_noflush, which always does (Heki v2 15/19).',
  mend: 'The error path takes the mappings down without the hook.',
};
