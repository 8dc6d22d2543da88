import type { Defect } from '@heki/series';

export const B_G6: Defect = {
  title: 'Execution through the direct map is never granted',
  happens:
    'The real-mode trampoline, executable in the direct map only, loses execution and gains write: no second CPU starts after late init.',
  why: 'A page without counters is sent as read-write, whatever its mapping in the direct map says (Heki v2 18/19).',
  mend: 'A page that only the direct map knows gets the permissions that it has there.',
};
