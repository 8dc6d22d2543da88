import type { Defect } from '@heki/series';

export const B_H8: Defect = {
  title: 'Large pages over frames with different rights',
  happens:
    'A 2 MiB or 1 GiB leaf can cover frames with different attributes; all of them then have the rights of the first.',
  why: 'A region counts as uniform when every frame contains the newly set bits (2 MiB), or when any bit agrees (1 GiB); a setter with a mask also calls whole regions uniform that it changed only in part.',
  mend: 'A region is uniform when all its frames have the same attributes.',
};
