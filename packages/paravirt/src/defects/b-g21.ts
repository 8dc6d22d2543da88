import type { Defect } from '@heki/series';

export const B_G21: Defect = {
  title: 'A kernel with Heki crashes on any other hypervisor',
  happens: 'On Hyper-V, VMware or Xen setup_arch calls a null pointer.',
  why: 'The new operation init_heki of a hypervisor has no default; only KVM fills it (Heki v2 4/19).',
  mend: 'A hypervisor without a driver is one without Heki.',
};
