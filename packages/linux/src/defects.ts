/** A defect of the series' hooks in Linux, as a switch and as text. */
export interface LinuxDefect {
  readonly title: string;
  /** What the kernel or its attacker meets. */
  readonly happens: string;
  /** Where it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
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
  return { 'B-G4': overrides['B-G4'] ?? profile === 'rfc-v2' };
}
