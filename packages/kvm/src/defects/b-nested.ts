import type { Defect } from '@heki/series';

export const B_NESTED: Defect = {
  title: 'A guest inside the guest is judged without mode-based execute control',
  happens:
    'An L2 can execute nothing that the kernel of L1 may not, its user programs included: each of their fetches is a #PF that no handler can mend.',
  why: 'The control is cleared for L2, so that bit 2 of an entry decides about all code; entries that deny execution to the kernel have only bit 10 (Heki v2 5/19).',
  mend: 'When memory is protected no L2 is entered, and VM entry says so.',
};
