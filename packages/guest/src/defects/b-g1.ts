import type { Defect } from '@heki/series';

export const B_G1: Defect = {
  title: 'A refused page list is leaked and the counters are wrong for ever',
  happens:
    'The pages of the list are never freed, and the counters say what the hypervisor did not enforce; later changes start from there.',
  why: 'heki_apply_permissions returns right after it logged the failure (Heki v2 18/19).',
  mend: 'The list is freed and the counters are put back to what they were before the call.',
};
