import type { Defect } from '@heki/series';

export const B_H16: Defect = {
  title: 'User code is refused where the kernel may not execute',
  happens:
    'With the workaround for iTLB multihit a user fetch from a large leaf gets a kernel #PF (0x11), and the guest oopses.',
  why: 'The check looks at the attributes only: a fetch without EXEC is a violation, whoever fetches and for whatever reason the leaf has no execute right.',
  mend: 'An exception is injected only when the leaf is as the attributes want it; otherwise it is rebuilt.',
};
