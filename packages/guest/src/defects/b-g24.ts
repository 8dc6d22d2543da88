import type { Defect } from '@heki/series';

export const B_G24: Defect = {
  title: 'Memory that the direct map lacks is never protected',
  happens:
    'Text and data whose pages were taken out of the direct map (for secretmem, execmem, by a guard) are never sent: such code stays writable, and on a host that mends B-H7 it cannot run any more.',
  why: 'Late init sends what it meets on its walk over the direct map, and nothing else (Heki v2 14/19, 18/19).',
  mend: 'Every page of RAM that has a mapping is sent, wherever it is mapped.',
};
