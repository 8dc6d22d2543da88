import type { Defect } from '@heki/series';

export const B_G20: Defect = {
  title: 'Kernels with KASLR or jump labels are excluded',
  happens:
    'A kernel built with RANDOMIZE_BASE refuses to start Heki, even with nokaslr; one with JUMP_LABEL cannot contain it.',
  why: 'The ranges that are walked are compile-time constants, and jump labels patch kernel text that has become immutable (Heki v2 14/19, 18/19).',
  mend: 'The direct map is taken from the kernel or found in its page tables. A patch of immutable text is refused with an error that its caller can act on.',
};
