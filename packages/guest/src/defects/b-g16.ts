import type { Defect } from '@heki/series';

export const B_G16: Defect = {
  title: 'Generated code of boot becomes immutable',
  happens:
    'A pack for eBPF programs that was made before late init can take no program later, and its pages can never be used for anything else; so with ftrace trampolines, slots of kprobes, and modules.',
  why: 'Protection makes everything immutable that is not writable at that moment (Heki v2 18/19).',
  mend: 'Only the text and rodata of the image become immutable. What lies in allocated memory is protected, and can change.',
};
