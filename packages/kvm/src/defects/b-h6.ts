import type { Defect } from '@heki/series';

export const B_H6: Defect = {
  title: 'A list is applied up to its first bad entry',
  happens:
    'Entries before the bad one are in force, the others are not, and the guest learns only an error number.',
  why: 'Entries are checked and applied one by one.',
  mend: 'All entries are checked, immutability included, before the first is applied.',
};
