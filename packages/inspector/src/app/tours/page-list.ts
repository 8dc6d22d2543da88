import { atEvent, type Tour } from '../tour.ts';

export const pageListTour: Tour = {
  id: 'page-list',
  title: 'From counters to a page list',
  about: 'How Heki’s core in the guest learns what each page is used for, and tells the hypervisor.',
  steps: [
    atEvent(
      'startup_64',
      'startup_64',
      'A kernel boots on a machine whose hypervisor has Heki. The map shows what its mappings allow together: at first, the image can be written and executed.',
    ),
    atEvent(
      'hypercall 13',
      '= 1',
      'Early on it asks whether there is a hypervisor with Heki, and which version: hypercall 13. The answer is 1.',
    ),
    atEvent(
      'runs on its own page tables',
      'runs on its own page tables',
      'From here on the kernel walks its own page tables for every access.',
    ),
    atEvent(
      'heki_early_init',
      'heki_early_init',
      'heki_early_init walks all page tables of the kernel once. From now on Heki counts, for each page, how many mappings read, write and execute it.',
    ),
    atEvent(
      'map: 553 mappings',
      '553 mappings of 11284 pages',
      'What it found outside the direct map: 553 mappings. A page with a count of writers above zero must stay writable, one with executers executable.',
    ),
    atEvent(
      'mapped 0xffffc90000005000',
      'mapped 0xffffc90000005000',
      'The kernel goes on, and maps a stack.',
    ),
    atEvent(
      'map: 4 mappings',
      '4 mappings of 4 pages',
      'Each later change of the page tables calls Heki: the counters of four pages go up by what the new mappings allow.',
    ),
    atEvent(
      'update: 509 mappings',
      'update: 509 mappings of 509 pages',
      'When attributes change, both sides count: 509 mappings lost execution, and so did their pages.',
    ),
    atEvent(
      'mark_rodata_ro',
      'mark_rodata_ro',
      'mark_rodata_ro takes writing from text and constants. Step on, and watch the red of “written and executed” go.',
    ),
    atEvent(
      'Checked W+X mappings',
      'no W+X pages found',
      'Linux itself now finds no page that is writable and executable by one mapping.',
    ),
    atEvent(
      'list page at',
      'list page at 0x2827000: 10 entries',
      'heki_late_init turns counters into a list: stretches of pages with the rights that their mappings need. One page of memory has all ten; hypercall 14 passes its address.',
    ),
    atEvent(
      'gfns 0x1000-0x1e02',
      'gfns 0x1000-0x1e02 r-x immutable: applied',
      'KVM applies it, stretch by stretch. The outlined pages, the text, are r-x in the second level from here on, and immutable: no later request opens them.',
    ),
    atEvent(
      'page list at 0x2827000: 1 list',
      '10 ranges, 16384 pages',
      'All 16,384 pages are sent. What the hypervisor grants is now what the kernel’s mappings allowed at this moment, whatever becomes of these.',
    ),
  ],
};
