import type { Defect } from '@heki/series';

export const B_G7: Defect = {
  title: 'Counters go below zero, and then grant',
  happens: 'A permission taken away once too often is counted as present for ever.',
  why: 'Counters are signed, nothing checks for underflow, and a permission is present when its counter is not 0 (Heki v2 14/19).',
  mend: 'A counter stops at 0.',
};
