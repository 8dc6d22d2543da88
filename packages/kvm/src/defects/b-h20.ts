import type { Defect } from '@heki/series';

export const B_H20: Defect = {
  title: "The host's control registers decide about the guest's",
  happens:
    'CR4 bits that the host does not use are silently not pinned, with success; bits that the guest has not set are pinned, and lock it out of its own register.',
  why: "The masks are compared with the host's CR0 and CR4.",
  mend: "A pin must be set in the calling guest's own register; otherwise the call is refused.",
};
