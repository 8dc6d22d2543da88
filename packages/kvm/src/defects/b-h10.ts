import type { Defect } from '@heki/series';

export const B_H10: Defect = {
  title: 'A memslot that is created later forgets which regions are mixed',
  happens: 'After a slot was deleted and created again, large leaves cover frames with different attributes.',
  why: 'The flags of a new slot are initialised from the attributes only in VMs with private memory.',
  mend: 'They always are.',
};
