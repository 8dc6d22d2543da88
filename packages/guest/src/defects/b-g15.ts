import type { Defect } from '@heki/series';

export const B_G15: Defect = {
  title: 'Mappings are taken for valid by the wrong tests',
  happens:
    'A 2-MiB mapping that was made not-present is still counted; of a leaf that begins in valid memory all frames are counted, of one that begins outside it none.',
  why: 'pmd_present also looks at PSE, pte_present also at PROT_NONE, and pfn_valid is asked for the first frame only (Heki v2 13/19, 14/19).',
  mend: 'Only the present bit counts, and of each leaf exactly the frames that are valid memory.',
};
