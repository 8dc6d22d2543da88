/** One defect of the published guest half, as a switch and as text. */
export interface GuestDefect {
  readonly title: string;
  /** What the kernel or its attacker meets. */
  readonly happens: string;
  /** Where in the code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
  /** What of it no model can show. */
  readonly notShown?: string;
}

/** The defects of Heki v2's guest core, one switch each. Those of its hooks in Linux and of its drivers are theirs. */
export const guestDefects = {
  'B-G1': {
    title: 'A refused page list is leaked and the counters are wrong for ever',
    happens:
      'The pages of the list are never freed, and the counters say what the hypervisor did not enforce; later changes start from there.',
    why: 'heki_apply_permissions returns right after it logged the failure (Heki v2 18/19).',
    mend: 'The list is freed and the counters are put back to what they were before the call.',
  },
  'B-G2': {
    title: 'Ranges are lost when no page is left for the list',
    happens:
      'Pages keep their old permissions in the second level. If the allocation fails when the newest list page is full, that page claims 170 entries, and the hypervisor reads 8 bytes past it.',
    why: 'heki_add_pa allocates while it builds and returns silently on failure; a full page is told from an open one by an index that the final step increments (Heki v2 18/19).',
    mend: 'The whole list is built first, then all its pages are allocated; if one is missing the call fails with -ENOMEM, frees the others and puts the counters back.',
  },
  'B-G3': {
    title: 'No caller learns of a failure',
    happens:
      'set_memory_ro and the others succeed although nothing is enforced, and "Guest memory protected" is logged whatever happened.',
    why: 'heki_map, heki_unmap, heki_update, heki_protect and the text-poke hooks return void (Heki v2 14/19 to 18/19).',
    mend: 'They return an error number, and late init logs success only when there was some.',
  },
  'B-G5': {
    title: 'The direct map is never counted, but changed mappings of it are',
    happens:
      'Permissions changed through a direct-map address are subtracted from the counts of other mappings, or ignored for pages without counts. What protection adds for the direct map is never taken away again.',
    why: 'Early init leaves the direct map out; protection only raises counters that are 0, once; updates do not ask which mapping they walk (Heki v2 14/19, 16/19, 18/19).',
    mend: 'Protection counts every mapping of the direct map. Before that, calls for direct-map addresses change nothing; from then on they count like any other.',
  },
  'B-G6': {
    title: 'Execution through the direct map is never granted',
    happens:
      'The real-mode trampoline, executable in the direct map only, loses execution and gains write: no second CPU starts after late init.',
    why: 'A page without counters is sent as read-write, whatever its mapping in the direct map says (Heki v2 18/19).',
    mend: 'A page that only the direct map knows gets the permissions that it has there.',
  },
  'B-G7': {
    title: 'Counters go below zero, and then grant',
    happens:
      'A permission taken away once too often is counted as present for ever. A page that is mapped 2^32 times, which the shadow of KASAN has room for, counts as not mapped.',
    why: 'Counters are signed 32-bit numbers, nothing checks for underflow or overflow, and a permission is present when its counter is not 0 (Heki v2 14/19).',
    mend: 'A counter stops at 0, and does not wrap.',
  },
  'B-G8': {
    title: 'Pages above 512 GiB share the counters of others',
    happens:
      'In a kernel without 5-level support a page at or above 512 GiB shares its counters with the page 512 GiB below.',
    why: 'The geometry of the memory table counts a folded level (Heki v2 12/19).',
    mend: 'The table covers all memory that the kernel can have.',
  },
  'B-G13': {
    title: 'Allocating a list page can deadlock',
    happens:
      'When memory is short the allocator unmaps vmalloc areas, whose hook waits for the lock that the caller holds.',
    why: 'Pages are allocated with GFP_KERNEL under heki_lock (Heki v2 18/19).',
    mend: 'Pages are allocated without reclaim; when there is none, the call fails.',
    notShown: 'That text_poke_kgdb would sleep with all CPUs stopped.',
  },
  'B-G14': {
    title: 'Page tables are walked without their lock',
    happens:
      'A table that another processor frees during a walk is read on: what its page is used for then is counted as mappings.',
    why: 'heki_walk goes over the tables of init_mm and takes no lock (Heki v2 13/19).',
    mend: 'The walk holds the lock of init_mm, so that no table changes meanwhile.',
  },
  'B-G15': {
    title: 'Mappings are taken for valid by the wrong tests',
    happens:
      'Entries that the processor does not follow are counted as mappings of the frame that they store inverted: those with PROT_NONE, and 2-MiB entries that keep PSE. With page-table isolation frame 0 counts as executable, by the empty pages of the cpu_entry_area. Of a leaf that begins in valid memory all frames are counted, of one that begins outside it none.',
    why: 'pte_present and pmd_present also look at PROT_NONE, pmd_present and pmd_large at PSE alone, pte_pfn and pmd_pfn undo the inversion; pfn_valid is asked for the first frame only (Heki v2 13/19, 14/19).',
    mend: 'Only the present bit counts, and of each leaf exactly the frames that are valid memory.',
  },
  'B-G16': {
    title: 'Generated code of boot becomes immutable',
    happens:
      'A pack for eBPF programs that was made before late init can take no program later, and its pages can never be used for anything else; so with ftrace trampolines, slots of kprobes, and modules.',
    why: 'Protection makes everything immutable that is not writable at that moment (Heki v2 18/19).',
    mend: 'Only the text and rodata of the image become immutable. What lies in allocated memory is protected, and can change.',
  },
  'B-G18': {
    title: 'A kernel that leaves its text writable is called protected',
    happens:
      'With rodata=off, or when set_memory_ro failed, text is writable and executable in the second level, and "Guest memory protected" is logged.',
    why: 'Whatever the mappings say is sent, and nobody looks at it (Heki v2 18/19).',
    mend: 'Late init warns how many pages are writable and executable, and logs no success.',
  },
  'B-G20': {
    title: 'Kernels with KASLR or jump labels are excluded',
    happens:
      'A kernel built with RANDOMIZE_BASE refuses to start Heki, even with nokaslr; one with JUMP_LABEL cannot contain it.',
    why: 'The ranges that are walked are compile-time constants, and jump labels patch kernel text that has become immutable (Heki v2 14/19, 18/19).',
    mend: 'The direct map is taken from the kernel or found in its page tables. A patch of immutable text is refused with an error that its caller can act on.',
  },
  'B-G22': {
    title: 'Permissions come before the change that they belong to',
    happens:
      'Text that is about to be unmapped is writable while it can still be executed through its mapping, and data that is about to become text is executable before its mapping is.',
    why: 'heki_unmap and heki_update send the new permissions before the page tables change (Heki v2 15/19, 16/19).',
    mend: 'Before the change a page loses what it will lose; what it gains, it gains when the change is in force on all processors.',
    notShown:
      'A freed page is read-write, as in Linux itself: that is no window, but the permission of free memory.',
  },
  'B-G24': {
    title: 'Memory that the direct map lacks is never protected',
    happens:
      'Text and data whose pages were taken out of the direct map (for secretmem, execmem, by a guard) are never sent: such code stays writable, and on a host that mends B-H7 it cannot run any more.',
    why: 'Late init sends what it meets on its walk over the direct map, and nothing else (Heki v2 14/19, 18/19).',
    mend: 'Every page of RAM that has a mapping is sent, wherever it is mapped.',
  },
} as const satisfies { readonly [id: string]: GuestDefect };

/** The id of a defect. */
export type GuestDefectId = keyof typeof guestDefects;

/** Which defects a core has. */
export type GuestDefectSwitches = { readonly [id in GuestDefectId]: boolean };

/** All switches on (`rfc-v2`) or off (`hardened`), but for `overrides`. */
export function guestDefectSwitches(
  profile: 'rfc-v2' | 'hardened',
  overrides: { readonly [id in GuestDefectId]?: boolean } = {},
): GuestDefectSwitches {
  const switches: { [id: string]: boolean } = {};
  for (const id of Object.keys(guestDefects)) {
    switches[id] = overrides[id as GuestDefectId] ?? profile === 'rfc-v2';
  }
  return switches as GuestDefectSwitches;
}
