import { atAttack, atWalk, type Tour } from '../tour.ts';

const PAIR = ['hardened', 'hardened-hlat'] as const;
/** The entry of the text's page leads to 2 MiB of data instead. */
const LED_ELSEWHERE = { '0x2a16040': '0x2a001e1' };

export const remappingTour: Tour = {
  id: 'remapping',
  title: 'Remapping, and HLAT',
  about:
    'Rights belong to pages: what they do not stop, and what Intel’s hypervisor-managed translation adds.',
  steps: [
    atWalk(
      '0xffffffff81000000',
      '2 MiB page at 0x1000000',
      'Heki keeps what a page may be used for. But which page an address leads to is in the guest’s page tables.',
    ),
    atWalk(
      '0xffffffff81000000',
      '2 MiB page at 0x2a00000',
      'Here the entry of the text leads elsewhere: every byte of the text is untouched, and nobody reads it by this address any more.',
      { edits: LED_ELSEWHERE },
    ),
    atAttack(
      'remap-text',
      PAIR,
      'security_capable gives 0x0',
      'An attacker does it with one page: he copies text that does what he likes, and points the entry of a security check at it. The pages’ rights all hold.',
    ),
    atAttack(
      'remap-text',
      PAIR,
      'every step was done, to no effect',
      'On the right the processor has HLAT, and the hypervisor uses it. Every step of his is done there as well, and the check still answers as before.',
    ),
    atAttack(
      'remap-text',
      PAIR,
      'every step goes on both alike',
      'They part in no step: the guest’s page tables are changed on both. But for addresses that the hypervisor owns, the processor does not walk them: it walks the hypervisor’s.',
    ),
    atAttack(
      'remap-rodata',
      PAIR,
      'the first of the operations is 0x600dc0de',
      'Constants are remapped in the same way: a table of functions, here.',
    ),
    atAttack(
      'remap-idt',
      PAIR,
      'the first gate is 0x600dc0de',
      'And the interrupt descriptor table, by which every exception goes.',
    ),
    atAttack(
      'remap-idt',
      PAIR,
      'blocked',
      'Text, constants and the IDT are those that the model’s hypervisor takes over, at the end of boot.',
    ),
    atAttack(
      'execute-text-elsewhere',
      PAIR,
      'They part at step 23.',
      'Text can also be mapped at another address, where its neighbours are the attacker’s, and run from there.',
    ),
    atAttack(
      'execute-text-elsewhere',
      PAIR,
      'violation 0x85ec',
      'Guest-paging verification (part of VT-rp) stops that: the page may only be executed by a translation of the hypervisor’s.',
    ),
    atAttack(
      'walk-over-rodata',
      PAIR,
      'injected as #PF 0x7 (P W U)',
      'Even where somebody points a walk at a read-only page as if it were a table: the processor’s own accesses to tables meet the second level, too.',
    ),
    atAttack(
      'store-data',
      PAIR,
      'They do not part',
      'What none of it is about: data. Who stores to a variable of the kernel does so on every machine here.',
    ),
  ],
};
