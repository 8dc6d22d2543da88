import type { Defect } from '@heki/series';

export const B_G3: Defect = {
  title: 'No caller learns of a failure',
  happens:
    'set_memory_ro and the others succeed although nothing is enforced, and "Guest memory protected" is logged whatever happened.',
  why: 'heki_map, heki_unmap, heki_update, heki_protect and the text-poke hooks return void (Heki v2 14/19 to 18/19).',
  mend: 'They return an error number, and late init logs success only when there was some.',
};
