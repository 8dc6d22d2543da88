import type { Defect } from '@heki/series';

export const B_L6: Defect = {
  title: 'What was compared can change until it is protected',
  happens:
    'While VTL1 compares a module on one processor, another one stores to its pages: the copy that was compared is signed, and what then may be executed is not.',
  why: 'mshv_vsm_validate_guest_module copies the module, compares the copy, and only then takes away the right to write.',
  mend: 'The pages are frozen, and every processor has forgotten what it cached of them, before VTL1 looks at them.',
};
