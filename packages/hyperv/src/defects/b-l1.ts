import type { Defect } from '@heki/series';

export const B_L1: Defect = {
  title: 'The patches of a module come from VTL0, unsigned',
  happens:
    'A signed module is loaded with a table of patches of the attacker: any five bytes can then be patched into its text.',
  why: 'mshv_vsm_validate_guest_module reads ranges of type Patch from VTL0 and checks only that they lie in the module; the signature covers the ELF, not the table.',
  mend: 'The sites and what they may become come with what was signed. An entry of VTL0 that is not among them is -EACCES.',
};
