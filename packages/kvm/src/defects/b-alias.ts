import type { Defect } from '@heki/series';

export const B_ALIAS: Defect = {
  title: 'Two memslots over the same memory have rights of their own',
  happens:
    'What is read-only as one guest frame can be stored to as another one that is the same host frame: by a second slot, made before or after the request, or by a slot that is moved, or deleted and made again elsewhere, and then brought back.',
  why: 'Attributes belong to guest frames, and nothing looks at what is behind a slot.',
  mend: 'What was withheld from one guest frame is withheld from the memory: a leaf grants no write that another name of its frame, present or past, was refused. Memory with several names is mapped by leaves of 4 KiB. What is immutable under one name is under all.',
};
