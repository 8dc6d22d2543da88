import type { Defect } from '@heki/series';

export const B_H4: Defect = {
  title: 'A list page that cannot be read leaks host memory',
  happens: 'Each such call loses 4,096 bytes of kernel memory for good, and the guest can repeat it.',
  why: 'The buffer is allocated before the read and put on the list that is freed only after it.',
  mend: 'Nothing outlives the call.',
};
