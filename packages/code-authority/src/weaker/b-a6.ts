import type { Defect } from '@heki/series';

export const B_A6: Defect = {
  title: 'Bytes are compared, not built',
  happens:
    'The guest writes the code, the owner compares it and then grants: what is written between the two is executed. What relocations decide is the guest’s, too.',
  why: 'Comparing is what LVBS does for modules; it is sound only if the page is frozen and flushed before, and leaves out every relocated place (B-L3).',
  mend: 'The owner writes the bytes itself, from its own copy of the signed file, into frames that only it can reach.',
};
