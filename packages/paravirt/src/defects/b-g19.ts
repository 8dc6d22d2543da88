import type { Defect } from '@heki/series';

export const B_G19: Defect = {
  title: 'A processor without any of the pinned CR4 features is left unprotected',
  happens:
    'With none of SMEP, SMAP, UMIP, FSGSBASE and CET in CR4 the lock is refused, and late init ends before memory is protected.',
  why: 'The driver asks to pin the bits of its mask that are set, even without any, and a pin of no bits is -KVM_EINVAL (Heki v2 4/19).',
  mend: 'CR4 is not pinned when there is nothing to pin.',
};
