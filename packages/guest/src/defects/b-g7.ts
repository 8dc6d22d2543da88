import type { Defect } from '@heki/series';

export const B_G7: Defect = {
  title: 'Counters go below zero, and then grant',
  happens:
    'A permission taken away once too often is counted as present for ever. A page that is mapped 2^32 times, for which the shadow of KASAN has room, counts as not mapped.',
  why: 'Counters are signed 32-bit numbers, nothing checks for underflow or overflow, and a permission is present when its counter is not 0 (Heki v2 14/19).',
  mend: 'A counter stops at 0, and does not wrap.',
};
