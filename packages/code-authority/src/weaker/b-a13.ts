import type { Defect } from '@heki/series';

export const B_A13: Defect = {
  title: 'Compiled programs are taken as they are',
  happens:
    'Whatever the guest hands over as an eBPF program is executed: constants that are code, any instruction, jumps to anywhere.',
  why: 'What the JIT of a kernel has made nobody has signed, and Linux blinds constants only if it is told to (bpf_jit_harden), itself.',
  mend: 'Every instruction is judged by a grammar of what a JIT emits, larger constants come in pairs that the owner blinds anew, and the owner writes the bytes.',
};
