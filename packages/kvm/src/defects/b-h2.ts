import type { Defect } from '@heki/series';

export const B_H2: Defect = {
  title: 'The entry count of a list page overflows a host buffer',
  happens:
    'A page that says it holds more than 169 entries writes past a 4,096-byte kernel allocation; 170, which an honest guest can send (B-G2), writes 8 bytes past it.',
  why: '`npages` comes from the guest and is multiplied by 24 for the copy without a check (Heki v2 11/19).',
  mend: 'More than 169 entries are refused before anything is copied.',
};
