import type { Defect } from '@heki/series';

export const B_H7: Defect = {
  title: 'Memory that was never sent stays writable and executable',
  happens:
    'Hot-added memory, firmware, device memory and pages that a list lost can be written and then executed by the kernel.',
  why: 'A frame without attributes has all rights.',
  mend: 'From the first successful protect call on, a frame without attributes is read-write for the kernel.',
};
