import type { Defect } from '@heki/series';

export const B_A3: Defect = {
  title: 'The sites of a module come from the guest',
  happens: 'A site that is nowhere in the signed file can be patched.',
  why: 'LVBS took the table of patches from VTL0 at module load, beside the signed file (B-L1).',
  mend: 'Sites come from the signed file alone.',
};
