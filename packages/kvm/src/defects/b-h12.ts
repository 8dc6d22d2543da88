import type { Defect } from '@heki/series';

export const B_H12: Defect = {
  title: 'Only the processor is bound by the rights',
  happens:
    "KVM's own stores for the guest, its instruction emulator, the VMM and devices write to read-only pages.",
  why: 'They use the host mapping, where attributes are not checked.',
  mend: 'KVM looks at the attributes of every guest-physical address that it resolves for a store, and for code that it emulates. The VMM and DMA stay declared bypasses, each closable by a mechanism of its own.',
};
