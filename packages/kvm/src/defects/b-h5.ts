import type { Defect } from '@heki/series';

export const B_H5: Defect = {
  title: 'A range has no bound',
  happens:
    'One entry can name 2^52 frames: as many iterations with a mutex held, and attributes for frames that are not memory.',
  why: 'Only the alignment of both ends is checked.',
  mend: "A range that reaches past the guest's memory or contains none of it is refused.",
};
