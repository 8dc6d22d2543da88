import type { Defect } from '@heki/series';

export const B_G12: Defect = {
  title: 'A failed change of permissions stays counted',
  happens:
    'When change_page_attr fails, for want of a page to split a large leaf or over a hole, the second level has permissions that no mapping has.',
  why: 'Heki is told before change_page_attr runs, and is not told of the failure (Heki v2 16/19).',
  mend: 'What was not changed is told to be as it was. Without B-G4 Heki hears only of leaves that do change.',
};
