import type { Defect } from '@heki/series';

export const B_G17: Defect = {
  title: "The guest's state of Heki is ordinary writable data",
  happens:
    'One store of 0 over heki.protect_memory silences every later hook: the second level hears of no module any more. A null pointer in heki.hypervisor makes the next hook oops; a pointer to a table of his own has the kernel call what the attacker likes.',
  why: '`struct heki heki` is in .bss, the table of the driver, not const, in .data; both stay writable as long as the kernel runs (Heki v2 4/19, 18/19).',
  mend: 'Both are __ro_after_init: mark_rodata_ro makes them read-only, and late init immutable. Its last write, protect_memory, comes after mark_rodata_ro and before the second level is asked to protect: it goes through a temporary mapping, as text_poke does. From then on neither is written. They are as safe as text is: whoever edits page tables can still map other memory there, a limit of the design.',
  notShown:
    'The counters, objects on the heap: here they are not in the memory of the guest, and heki.counters, which leads to them, stays a null pointer that is not followed. Mended or not, they would have to stay writable, unless they were moved to KVM, as the authors note.',
};
