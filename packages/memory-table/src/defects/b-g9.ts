import type { Defect } from '@heki/series';

export const B_G9: Defect = {
  title: 'Large entries are lost instead of split, and levels are off by one',
  happens:
    'Creating an entry under a large one drops the value of all its pages; find reports level 0 for a 4-KiB entry although the table was set up with base level 1.',
  why: 'mem_table_create puts an empty table over a leaf that it meets (splitting is left for later), and mem_table_find adds the base level to the pointer instead of to what it points to.',
  mend: 'A large entry is split, its pages keep their value, and levels count from the base level.',
};
