import type { Defect } from '@heki/series';

export const B_A11: Defect = {
  title: 'Frames are taken whatever they hold',
  happens: 'Code is laid out over a stack or a page table that is in use.',
  why: 'Nothing outside of the guest knows what its frames are used for.',
  mend: 'Frames for code have to be empty, before they are taken away and afterwards, and are given back as they are when they are not.',
};
