import type { Defect } from '@heki/series';

export const B_G5: Defect = {
  title: 'The direct map is never counted, but changed mappings of it are',
  happens:
    'Permissions changed through a direct-map address are subtracted from the counts of other mappings, or ignored for pages without counts. What protection adds for the direct map is never taken away again.',
  why: 'Early init leaves the direct map out; protection only raises counters that are 0, once; updates do not ask which mapping they walk (Heki v2 14/19, 16/19, 18/19).',
  mend: 'Protection counts every mapping of the direct map. Before that, calls for direct-map addresses change nothing; from then on they count like any other.',
};
