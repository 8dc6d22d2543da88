import type { SharedDefect } from '../defect.ts';

export const B_G22: SharedDefect = {
  title: 'Permissions come before the change that they belong to',
  parts: {
    guest: {
      happens:
        'Text that is about to be unmapped is writable while it can still be executed through its mapping, and data that is about to become text is executable before its mapping is.',
      why: 'heki_unmap and heki_update send the new permissions before the page tables change (Heki v2 15/19, 16/19).',
      mend: 'Before the change a page loses what it will lose; what it gains, it gains when the change is in force on all processors.',
      notShown:
        'A freed page is read-write, as in Linux itself: that is not a window, but the permission of free memory.',
    },
    linux: {
      happens: 'Text that is patched is writable in the second level before and after its writable mapping.',
      why: '__text_poke calls Heki before it takes the lock of the poking address space, and after it has dropped it (Heki v2 17/19).',
      mend: 'The text is opened when the temporary mapping is there, and closed before that goes.',
    },
  },
};
