import type { Defect } from '@heki/series';

export const B_G14: Defect = {
  title: 'Page tables are walked without their lock',
  happens:
    'A table that another processor frees during a walk is read on: what its page is used for then is counted as mappings.',
  why: 'heki_walk goes over the tables of init_mm and takes no lock (Heki v2 13/19).',
  mend: 'The walk holds the lock of init_mm, so that no table changes meanwhile.',
};
