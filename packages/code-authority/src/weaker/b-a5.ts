import type { Defect } from '@heki/series';

export const B_A5: Defect = {
  title: 'The sites of init code outlive it',
  happens: 'A site in init code that was given back is patched when the page holds something else.',
  why: 'The table of patches is kept by address, and nothing takes out what lies in pages that are released (B-L2).',
  mend: 'Sites go with their pages, and a poke looks at the type of every frame.',
};
