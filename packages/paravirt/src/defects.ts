/** One defect of the published drivers, as a switch and as text. */
export interface ParavirtDefect {
  readonly title: string;
  /** What the kernel meets. */
  readonly happens: string;
  /** Where in the code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
}

/** The defects of Heki v2's drivers and of how a kernel comes to one, one switch each. */
export const paravirtDefects = {
  'B-G19': {
    title: 'A processor without any of the pinned CR4 features is left unprotected',
    happens:
      'With none of SMEP, SMAP, UMIP, FSGSBASE and CET in CR4 the lock is refused, and late init ends before memory is protected.',
    why: 'The driver asks to pin the bits of its mask that are set, even if that is none, and a pin of no bits is -KVM_EINVAL (Heki v2 4/19).',
    mend: 'CR4 is not pinned when there is nothing to pin.',
  },
  'B-G21': {
    title: 'A kernel with Heki crashes on any other hypervisor',
    happens: 'On Hyper-V, VMware or Xen setup_arch calls a null pointer.',
    why: 'The new operation init_heki of a hypervisor has no default; only KVM fills it (Heki v2 4/19).',
    mend: 'A hypervisor without a driver is one without Heki.',
  },
} as const satisfies { readonly [id: string]: ParavirtDefect };

/** The id of a defect. */
export type ParavirtDefectId = keyof typeof paravirtDefects;

/** Which defects the drivers have. */
export type ParavirtDefectSwitches = { readonly [id in ParavirtDefectId]: boolean };

/** All switches on (`rfc-v2`) or off (`hardened`), but for `overrides`. */
export function paravirtDefectSwitches(
  profile: 'rfc-v2' | 'hardened',
  overrides: { readonly [id in ParavirtDefectId]?: boolean } = {},
): ParavirtDefectSwitches {
  const published = profile === 'rfc-v2';
  return {
    'B-G19': overrides['B-G19'] ?? published,
    'B-G21': overrides['B-G21'] ?? published,
  };
}
