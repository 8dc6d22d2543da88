import type { Defect } from '@heki/series';

export const B_H1: Defect = {
  title: 'A request for fewer rights is dropped with success',
  happens:
    'Write is never taken from a rw- page by a request for r--, and a page that was rwx once stays rwx, although each call answers 0.',
  why: 'The "nothing to do" test of the attribute setter asks whether the stored bits contain the requested ones, not whether they are equal (Heki v2 8/19, 9/19).',
  mend: 'The call ends early only when every frame has exactly the requested value.',
};
