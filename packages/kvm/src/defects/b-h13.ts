import type { Defect } from '@heki/series';

export const B_H13: Defect = {
  title: 'The pins of CR0.WP and CR4.FSGSBASE are hollow',
  happens: 'A MOV that changes only such a bit does not exit, so nothing checks it.',
  why: 'Since Linux 6.4 the guest owns CR0.WP when EPT is on, and it owns CR4.FSGSBASE; the series leaves the guest/host masks alone.',
  mend: 'A pinned bit is taken from the guest on every virtual CPU.',
};
