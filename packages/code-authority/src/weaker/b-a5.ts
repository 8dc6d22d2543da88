import type { Defect } from '@heki/series';

export const B_A5: Defect = {
  title: 'Nothing is kept of init code that was given back',
  happens:
    'A site in init code that was given back is patched when the page holds something else; and the page is given back a second time, from whoever has it by then.',
  why: 'The table of patches is kept by address, and nothing takes out what lies in pages that are released (B-L2); a token has no state.',
  mend: 'Sites go with their pages, which are given back once, and a poke looks at the type of every frame.',
};
