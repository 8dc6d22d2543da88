import type { Defect } from '@heki/series';

export const B_A12: Defect = {
  title: 'What the guest says of its boot is believed',
  happens:
    'A kernel that was booted without its mitigations, or with other constants in its code, is sealed: the bytes prove that it was.',
  why: 'Comparing proves that a boot vector is true of the memory, not that it may be wished for.',
  mend: 'SEAL judges every element of it by what the owner knows of the machine, and by a policy.',
};
