import type { Defect } from '@heki/series';

export const B_G2: Defect = {
  title: 'Ranges are lost when no page is left for the list',
  happens:
    'Pages keep their old permissions in the second level. If the allocation fails when the newest list page is full, that page claims 170 entries, and the hypervisor reads 8 bytes past it.',
  why: 'heki_add_pa allocates while it builds and returns silently on failure; a full page is told from an open one by an index that the final step increments (Heki v2 18/19).',
  mend: 'The whole list is built first, then all its pages are allocated; if one is missing the call fails with -ENOMEM, frees the others and puts the counters back.',
};
