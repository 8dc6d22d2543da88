import type { Defect } from '@heki/series';

export const B_NESTED: Defect = {
  title: 'A guest inside the guest is judged without mode-based execute control',
  happens:
    'An L2 can execute nothing that the kernel of L1 may not, its user programs included: each of their fetches is a #PF that no handler can mend. Its registers are held to the pins of L1, and a VM exit to L1 loads CR0 and CR4 from the VMCS that L1 wrote, past the pins.',
  why: 'The control is cleared for L2, so that bit 2 of an entry decides about all code; entries that deny execution to the kernel have only bit 10 (Heki v2 5/19). The pins are looked at where MOV to CR exits, whoever runs, and nowhere else.',
  mend: 'When memory is protected no L2 is entered, and VM entry says so; it fails, too, when the host state would clear a pinned bit, and so does VM exit when the bit was pinned since (a VMX abort). An L2 that runs is left as soon as memory is protected, by a request or by a restored state. Its own registers are free.',
};
