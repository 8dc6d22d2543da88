import type { Defect } from '@heki/series';

export const B_H18: Defect = {
  title: 'Nonsensical rights are accepted',
  happens: 'Write or execute without read, or immutable alone, are stored; read is never withheld.',
  why: 'Any non-empty combination of the four bits passes, and the builder of entries never looks at READ.',
  mend: 'Rights without READ are refused.',
};
