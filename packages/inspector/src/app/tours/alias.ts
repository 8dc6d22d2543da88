import { atAttack, atWalk, type Tour } from '../tour.ts';

const TEXT = '0xffffffff81000000';
const ALIAS = '0xffff888001000000';
const WRITABLE_ALIAS = { '0x3802040': '0x80000000010001e3' };

export const aliasTour: Tour = {
  id: 'alias',
  title: 'An alias',
  about: 'One page of memory at two addresses: why the rights of a mapping are not the rights of a page.',
  steps: [
    atWalk(
      TEXT,
      '2 MiB page at 0x1000000',
      'The kernel’s text begins at guest-physical 0x1000000. By this address it is read-only and executable.',
      { access: 'fetch' },
    ),
    atWalk(
      ALIAS,
      '2 MiB page at 0x1000000',
      'But the kernel maps all of its RAM a second time, in its direct map. This is the same page by that address: another root entry, other tables, the same frame.',
    ),
    atWalk(
      ALIAS,
      'read-only, not executable',
      'Linux makes both alike where it matters: here the page is not executable, and since mark_rodata_ro it is not writable either.',
    ),
    atWalk(
      ALIAS,
      'because R/W=0 in PDE',
      'So a store through the direct map meets #PF, too, by an entry of its own.',
      { access: 'write' },
    ),
    atWalk(
      ALIAS,
      'all levels together: writable, not executable',
      'Set R/W in that one entry, and the store goes through. Nothing of it is executable: a look at this address alone finds no W^X violation.',
      { access: 'write', edits: WRITABLE_ALIAS },
    ),
    atWalk(
      TEXT,
      'because R/W=0 in PDE',
      'With the same edit, the text’s own address still refuses a store. A look at this one alone finds nothing, either.',
      { access: 'write', edits: WRITABLE_ALIAS },
    ),
    atWalk(
      TEXT,
      'all levels together: read-only, executable',
      'And yet the page is written by the one address and executed by the other. What counts is what all mappings of a page allow together.',
      { access: 'fetch', edits: WRITABLE_ALIAS },
    ),
    atWalk(
      '0xffff888000099000',
      '4 KiB page at 0x99000',
      'The direct map has exceptions: the trampoline by which processors are started is executed here, in real mode at first, and so it is read-only.',
      { access: 'fetch' },
    ),
    atWalk(
      '0xffff888000100000',
      'writable, not executable',
      'Most of it is data: written, and not executed.',
      { access: 'write' },
    ),
    atAttack(
      'store-text-direct-map',
      ['no-heki', 'hardened'],
      "the guest's page tables forbid it",
      'An attacker who tries just that is stopped by the page tables themselves, with Heki and without.',
    ),
    atAttack(
      'store-text-second-mapping',
      ['no-heki', 'hardened'],
      'succeeds',
      'One who makes a mapping of his own is not: page tables are data, and who writes data in the kernel writes them.',
    ),
    atAttack(
      'store-text-second-mapping',
      ['no-heki', 'hardened'],
      'EPT forbids it',
      'With Heki the hypervisor keeps the rights of the page, below all mappings: whichever address the store comes by, the second level refuses it.',
    ),
  ],
};
