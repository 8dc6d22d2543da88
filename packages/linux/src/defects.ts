/** A defect of the series' hooks in Linux, as a switch and as text. */
export interface LinuxDefect {
  readonly title: string;
  /** What the kernel or its attacker meets. */
  readonly happens: string;
  /** Where it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
  /** What of it no model can show. */
  readonly notShown?: string;
}

/** The defects of Heki v2's hooks in Linux that this model has, one switch each. Those of the guest core are in `@heki/guest`. */
export const linuxDefects = {
  'B-G4': {
    title: 'Changed aliases, and changes by functions without a hook, are not counted',
    happens:
      'Freed init memory keeps the counts of its mapping in the image: module text in it is asked for as writable and executable. Pages that set_memory_np or set_direct_map_* hide stay counted.',
    why: 'set_memory_ro and four others tell Heki which range they were asked to change, before change_page_attr decides what it changes: aliases in the direct map and in the image, and what is left as it is (Heki v2 16/19).',
    mend: 'change_page_attr itself tells Heki every leaf that it is about to change, with its old and new bits. When Heki refuses, nothing is changed.',
  },
  'B-G10': {
    title: 'A mapping that failed half way is taken out of counters that never had it',
    happens:
      'When no page is left for a page table, vmap takes down what it had mapped, and Heki counts each of these pages down: a warning for pages without counters, and counters that say less than the mappings for the others.',
    why: 'vmap_small_pages_range_noflush calls Heki only when all is mapped, its error path unmaps through __vunmap_range_noflush, which always does (Heki v2 15/19).',
    mend: 'The error path takes the mappings down without the hook.',
  },
  'B-G11': {
    title: 'Changes of 2 GiB and more are not counted',
    happens:
      'set_memory_ro over 2 GiB changes the page tables, and nothing in the second level. From 4 GiB on the part that is left of the number modulo 2^32 is counted.',
    why: 'The end of the range is computed from `numpages << PAGE_SHIFT`, where numpages is an int (Heki v2 16/19).',
    mend: 'The end is computed in 64 bits. Without B-G4 Heki is told of leaves, and needs no end.',
  },
  'B-G12': {
    title: 'A failed change of permissions stays counted',
    happens:
      'When change_page_attr fails, for want of a page to split a large leaf or over a hole, the second level has permissions that no mapping has.',
    why: 'Heki is told before change_page_attr runs, and nobody tells it of the failure (Heki v2 16/19).',
    mend: 'What was not changed is told to be as it was. Without B-G4 Heki hears only of leaves that do change.',
  },
  'B-G17': {
    title: "The guest's state of Heki is ordinary writable data",
    happens:
      'One store of 0 over heki.protect_memory silences every later hook: the second level hears of no module any more. A null pointer in heki.hypervisor makes the next hook oops; a pointer to a table of his own has the kernel call what the attacker likes.',
    why: '`struct heki heki` is in .bss, the table of the driver, not const, in .data; both stay writable as long as the kernel runs (Heki v2 4/19, 18/19).',
    mend: 'Both are __ro_after_init: mark_rodata_ro makes them read-only, and late init immutable. Its last write, protect_memory, comes after mark_rodata_ro and before the second level is asked to protect: it goes through a temporary mapping, as text_poke does. From then on neither is written. They are as safe as text is: whoever edits page tables can still map other memory there, a limit of the design.',
    notShown:
      'The counters, objects on the heap: here they are not in the memory of the guest, and heki.counters, which leads to them, stays a null pointer that nobody follows. Mended or not, they would have to stay writable, unless they were moved to KVM, as the authors note.',
  },
  'B-G22': {
    title: 'Permissions come before the change that they belong to',
    happens: 'Text that is patched is writable in the second level before and after its writable mapping.',
    why: '__text_poke calls Heki before it takes the lock of the poking address space, and after it has dropped it (Heki v2 17/19).',
    mend: 'The text is opened when the temporary mapping is there, and closed before that goes.',
  },
} as const satisfies { readonly [id: string]: LinuxDefect };

/** The id of a defect. */
export type LinuxDefectId = keyof typeof linuxDefects;

/** Which defects a kernel has. */
export type LinuxDefectSwitches = { readonly [id in LinuxDefectId]: boolean };

/** All switches on (`rfc-v2`) or off (`hardened`), but for `overrides`. */
export function linuxDefectSwitches(
  profile: 'rfc-v2' | 'hardened',
  overrides: { readonly [id in LinuxDefectId]?: boolean } = {},
): LinuxDefectSwitches {
  const switches: { [id: string]: boolean } = {};
  for (const id of Object.keys(linuxDefects)) {
    switches[id] = overrides[id as LinuxDefectId] ?? profile === 'rfc-v2';
  }
  return switches as LinuxDefectSwitches;
}
