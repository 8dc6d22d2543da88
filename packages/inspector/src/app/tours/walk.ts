import { atWalk, type Tour } from '../tour.ts';

const TEXT = '0xffffffff81000000';
/** The entry of the text's 2-MiB page, and its value with R/W set. */
const WRITABLE = { '0x2a16040': '0x10001e3' };
const EXECUTABLE_DATA = { '0x2a160a8': '0x2a001e3' };
const DATA = '0xffffffff82bf9b60';

export const walkTour: Tour = {
  id: 'walk',
  title: 'A walk',
  about: 'How the processor finds the page of an address, and what each entry on the way decides.',
  steps: [
    atWalk(
      TEXT,
      'PML4E',
      'This is the first byte of a Debian kernel’s text, out of a dump of its memory. CR3 says where the root of its page tables is; everything else the processor reads out of memory.',
    ),
    atWalk(
      TEXT,
      'entry 511 of the table at 0x5a66000',
      'Bits 47 to 39 of the address are a number: 511. The walk begins with entry 511 of the root. It leads to another table: its frame is in the middle of the entry, flags are around it.',
    ),
    atWalk(
      TEXT,
      'entry 510 of the table at 0x2a15000',
      'The next nine bits choose among the 512 entries of that table. U/S is clear here: from this entry on, nothing below belongs to user mode.',
    ),
    atWalk(
      TEXT,
      '2 MiB page at 0x1000000',
      'The third entry has PS set: it is a leaf, and maps 2 MiB at once. The walk is over, one level early; the low 21 bits are the offset in the page.',
    ),
    atWalk(
      TEXT,
      'all levels together: read-only, executable, kernel page',
      'What the page may be used for is decided by all levels together: it can be written if every one has R/W, it is the user’s if every one has U/S, and it is not executed if any one has XD.',
    ),
    atWalk(
      TEXT,
      'because R/W=0 in PDE',
      'A store to it raises #PF. Error code 3 says: the page is present (P), and it was a write (W). One entry was enough: R/W is clear in the leaf.',
      { access: 'write' },
    ),
    atWalk(
      TEXT,
      'all levels together: writable, executable, kernel page',
      'Here R/W is set in the leaf, in this page alone. The store goes through: whoever can write this one entry can write the kernel’s code. Press RW to take it back.',
      { access: 'write', edits: WRITABLE },
    ),
    atWalk(
      TEXT,
      'because U/S=0 in PDPTE',
      'The same address from user mode: #PF 5, present, and from user mode (U). The first entry with U/S clear is named.',
      { user: true },
    ),
    atWalk(
      DATA,
      'because XD=1 in PDE',
      'This is a variable of the kernel. Its leaf has XD: to execute it is #PF 0x11, present, and an instruction fetch (ID).',
      { access: 'fetch' },
    ),
    atWalk(
      DATA,
      'all levels together: writable, executable, kernel page',
      'Without XD in the leaf, and with R/W in every level, the page can be written and executed: what an exploit wants, and what W^X forbids.',
      { access: 'fetch', edits: EXECUTABLE_DATA },
    ),
    atWalk(
      '0xffffffff80000000',
      'because P=0 in PDE',
      'Where an entry is not present, the walk ends there. The error code is 0, and says nothing but: a read, by the kernel, of nothing.',
    ),
    atWalk(
      '0x8000000000000000',
      '#GP(0): the address is not canonical',
      'And some addresses are refused before any walk: bits 63 to 47 must be alike. No table was read, and it is #GP, not #PF.',
    ),
  ],
};
