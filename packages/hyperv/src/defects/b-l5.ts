import type { Defect } from '@heki/series';

export const B_L5: Defect = {
  title: 'The head and the tail of a patch are judged apart',
  happens: 'The head of a jump ends up on the tail of a no-op: e9 1f 44 00 00 jumps out of the text.',
  why: 'validate_text_poke_bp_batch accepts each step for itself when it equals the patch or the no-op.',
  mend: 'A step must leave the site as a whole variant, or as a breakpoint before the tail of one.',
};
