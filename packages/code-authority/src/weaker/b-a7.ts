import type { Defect } from '@heki/series';

export const B_A7: Defect = {
  title: 'Any declared state may be chosen',
  happens:
    'Every jump label and static call of the kernel can be changed, those that guard its security, too: LSM hooks, mitigations, `cr_pinning`.',
  why: 'Sites and states follow from the file alone; nothing says which of them may change while the kernel runs.',
  mend: 'A key changes only if the signed file says so; all others are frozen by the seal.',
};
