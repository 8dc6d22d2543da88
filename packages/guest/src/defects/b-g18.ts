import type { Defect } from '@heki/series';

export const B_G18: Defect = {
  title: 'A kernel that leaves its text writable is called protected',
  happens:
    'With rodata=off, or when set_memory_ro failed, text is writable and executable in the second level, and "Guest memory protected" is logged.',
  why: 'Whatever the mappings say is sent, and is not checked (Heki v2 18/19).',
  mend: 'Late init warns how many pages are writable and executable, and logs no success.',
};
