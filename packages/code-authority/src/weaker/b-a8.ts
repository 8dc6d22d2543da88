import type { Defect } from '@heki/series';

export const B_A8: Defect = {
  title: 'Types belong to guest frames',
  happens:
    "A second guest frame over the same host frame has a type of its own: text is written through it. The switch is the host's: it sets rights for the one guest frame that was named.",
  why: 'Memory attributes of KVM are kept by guest frame, and two slots may share host memory.',
  mend: 'Types belong to host frames; rights follow them through every guest frame.',
};
