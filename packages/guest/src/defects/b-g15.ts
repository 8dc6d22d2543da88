import type { Defect } from '@heki/series';

export const B_G15: Defect = {
  title: 'Mappings are taken for valid by the wrong tests',
  happens:
    'Entries that the processor does not follow are counted as mappings of the frame that they store inverted: those with PROT_NONE, and 2-MiB entries that keep PSE. Empty pages of the cpu_entry_area are such entries for frame 0, which therefore is sent writable and executable. Of a leaf that begins in valid memory all frames are counted, of one that begins outside it none.',
  why: 'pte_present and pmd_present look at PROT_NONE too, pmd_present and pmd_large at PSE alone, and pte_pfn and pmd_pfn undo the inversion; pfn_valid is asked for the first frame only (Heki v2 13/19, 14/19).',
  mend: 'Only the present bit counts, and of each leaf exactly the frames that are valid memory.',
  notShown:
    'A 2-MiB entry without P in the kernel half: change_page_attr clears PSE with P, so that set_memory_np makes none.',
};
