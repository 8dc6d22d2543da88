import type { Defect } from '@heki/series';

export const B_G13: Defect = {
  title: 'Allocating a list page can deadlock',
  happens:
    'When memory is short the allocator unmaps vmalloc areas, whose hook waits for the lock that the caller holds.',
  why: 'Pages are allocated with GFP_KERNEL under heki_lock (Heki v2 18/19).',
  mend: 'Pages are allocated without reclaim; when there is none, the call fails.',
  notShown: 'That text_poke_kgdb would sleep with all CPUs stopped.',
};
