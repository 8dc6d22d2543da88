import type { Defect } from '@heki/series';

export const B_A14: Defect = {
  title: 'Constants of compiled programs stay as the guest has blinded them',
  happens:
    'A program of the grammar holds eight bytes that the guest has chosen for each larger constant, in two halves, and code of its own there is jumped to.',
  why: 'Linux blinds constants in the kernel itself (bpf_jit_blind_constants): who commands that kernel draws what he likes.',
  mend: 'The owner draws both halves anew when it writes the program, so that the value stays and no byte of it was chosen.',
};
