import type { Defect } from '@heki/series';

export const B_G11: Defect = {
  title: 'Changes of 2 GiB and more are not counted',
  happens:
    'set_memory_ro over 2 GiB changes the page tables, and nothing in the second level. From 4 GiB on the part that is left of the number modulo 2^32 is counted.',
  why: 'The end of the range is computed from `numpages << PAGE_SHIFT`, where numpages is an int (Heki v2 16/19).',
  mend: 'The end is computed in 64 bits. Without B-G4 Heki is told of leaves, and needs no end.',
};
