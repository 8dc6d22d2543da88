import type { SharedDefect } from '../defect.ts';

export const B_G8: SharedDefect = {
  title: 'Pages above 512 GiB share the counters of others',
  parts: {
    guest: {
      happens:
        'In a kernel without 5-level support a page at or above 512 GiB shares its counters with the page 512 GiB below.',
      why: 'The geometry of the memory table counts a folded level (Heki v2 12/19).',
      mend: 'The table covers all memory that the kernel can have.',
    },
    'memory-table': {
      happens:
        'A kernel without 5-level support keeps one table entry for all memory above 512 GiB: pages there share their value with the page 512 GiB below.',
      why: 'The levels are counted with CONFIG_PGTABLE_LEVELS (4), but the folded P4D with its one entry is among them, so the PGD is never reached; an index above the coverage is masked, not refused.',
      mend: 'The PGD is always the last level, and a frame above the coverage is refused.',
    },
  },
};
