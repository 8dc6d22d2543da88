import type { Defect } from '@heki/series';

export const B_H14: Defect = {
  title: 'Pins and attributes outlive the kernel that asked for them',
  happens:
    'After INIT the first MOV to CR0 of a starting processor is refused; after reset or kexec the next kernel cannot write where the old text was; a migrated VM has lost everything. RSM loads CR0 and CR4 past the pins.',
  why: 'They live in the VM, nothing clears them, and there is no getter.',
  mend: 'A pin binds a processor that took INIT again from when it turns paging on (CR0) or first meets it (CR4); the VMM can read and set the whole state, and decides what reset and kexec do. RSM that would take a pinned bit away shuts the processor down.',
};
