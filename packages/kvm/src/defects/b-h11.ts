import type { Defect } from '@heki/series';

export const B_H11: Defect = {
  title: 'A private page without Heki attributes has no rights at all',
  happens: 'In a confidential VM the kernel can neither write nor execute it.',
  why: 'Any attribute, PRIVATE too, makes the getter translate the Heki bits, which are then all zero.',
  mend: 'Only Heki bits count.',
};
