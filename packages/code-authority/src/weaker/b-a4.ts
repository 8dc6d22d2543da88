import type { Defect } from '@heki/series';

export const B_A4: Defect = {
  title: 'A grant comes before the flush',
  happens:
    'A processor that has a writable translation cached goes on writing to a page that is text by now.',
  why: 'A second level that was changed binds a processor only once what it has cached is dropped (SDM 3C 29.4.3).',
  mend: 'Frames are frozen, every processor is flushed, then bytes are written and the type is given.',
};
