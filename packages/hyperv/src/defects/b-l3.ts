import type { Defect } from '@heki/series';

export const B_L3: Defect = {
  title: 'What stands at a relocation is whatever the loader has left there',
  happens: 'Every call in a signed module goes where the attacker wants.',
  why: 'validate_kernel_module_against_elf copies the bytes at relocation sites from the loaded module before it compares (validation of relocations, microsoft/litebox#847, is about which sites, not what they hold).',
  mend: 'Each site has the contents that it may have; without any, only what its author built.',
};
