import type { Defect } from '@heki/series';

export const B_A2: Defect = {
  title: 'Each step of a patch is judged alone',
  happens:
    'A patch of five bytes comes in steps, and each is accepted when its bytes could belong to some state: head and tail of different states make an instruction that was never declared.',
  why: 'LVBS compares each step of text_poke_bp with the declared bytes at that place, one by one (B-L5).',
  mend: 'A state is written as a whole, with every processor stopped.',
};
