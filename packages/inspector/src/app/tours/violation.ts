import { atAttack, atEvent, type Tour } from '../tour.ts';

const PAIR = ['no-heki', 'hardened'] as const;

export const violationTour: Tour = {
  id: 'violation',
  title: 'A violation becomes a page fault',
  about: 'What happens between a store that the second level refuses and the kernel that hears of it.',
  steps: [
    atEvent(
      'EPT violation at 0x2a10888',
      'EPT violation at 0x2a10888',
      'EPT violations are nothing unusual: memory that was not used before has no entry in the second level. The processor leaves the guest, and says where, and by what access.',
    ),
    atEvent(
      'mapped gfn 0x2a00',
      'with a leaf of 2 MiB',
      'KVM finds that the page is memory, makes an entry, and lets the guest go on: the kernel never hears of it.',
    ),
    atEvent(
      'heki_late_init',
      'heki_late_init',
      'This changes with Heki. From late init on, some pages have rights that the hypervisor must not give back.',
    ),
    atEvent(
      'pinned by guest',
      'pinned by guest: CR0 0x10000',
      'First the bits of control registers on which page protection rests are pinned: CR0.WP, and then CR4.SMEP and SMAP.',
    ),
    atEvent(
      'zapped 1 leaf over gfns 0x1000',
      'zapped 1 leaf',
      'Then entries of the second level that allow too much are taken out: the next access makes them anew, with the rights of the page.',
    ),
    atAttack(
      'store-text',
      PAIR,
      "the guest's page tables forbid it",
      'Now somebody stores to the text. The guest’s own page tables refuse it, and the second level is not even asked.',
    ),
    atAttack(
      'store-text-after-pte-edit',
      PAIR,
      'They part at step 9.',
      'He looks up the entry through the direct map, sets R/W in it, and flushes it from the TLB. So far both machines go alike: page tables are data.',
    ),
    atAttack(
      'store-text-after-pte-edit',
      PAIR,
      'succeeds',
      'The store to the text, without Heki: nothing is in the way. The function is replaced.',
    ),
    atAttack(
      'store-text-after-pte-edit',
      PAIR,
      'EPT forbids it: violation 0x5ea',
      'With Heki: an EPT violation. Its qualification says that it was a write, to a page that may be read and executed; KVM knows that the page has rights of its own, and makes no entry.',
    ),
    atAttack(
      'store-text-after-pte-edit',
      PAIR,
      'injected as #PF 0x3 (P W)',
      'Instead it injects #PF into the guest, with the error code that a read-only page has. To the kernel it looks as if its own page tables had refused.',
    ),
    atAttack(
      'execute-data',
      PAIR,
      'injected as #PF 0x11 (P ID)',
      'The same for execution: XD is cleared in an entry, and code runs from data; or it is #PF 0x11.',
    ),
    atAttack(
      'clear-smep',
      PAIR,
      'the pin of CR4 forbids it: #GP(0)',
      'And for a pinned register: the MOV to CR4 exits, and comes back as #GP.',
    ),
    atAttack(
      'ask-for-write-to-text',
      ['hardened', 'rfc-v2'],
      'livelock',
      'In the published series the kernel’s handler finds nothing wrong in its page tables, and tries again, for ever: such a fault needs a kernel that knows of it.',
    ),
  ],
};
