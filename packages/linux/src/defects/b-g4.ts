import type { Defect } from '@heki/series';

export const B_G4: Defect = {
  title: 'Changed aliases, and changes by functions without a hook, are not counted',
  happens:
    'Freed init memory keeps the counts of its mapping in the image: module text in it is asked for as writable and executable. Pages that set_memory_np or set_direct_map_* hide stay counted.',
  why: 'set_memory_ro and four others tell Heki which range they were asked to change, before change_page_attr decides what it changes: aliases in the direct map and in the image, and what is left as it is (Heki v2 16/19).',
  mend: 'change_page_attr itself tells Heki every leaf that it is about to change, with its old and new bits. When Heki refuses, nothing is changed.',
};
