/** One hole of LVBS's published secure kernel, as a switch and as text. */
export interface LvbsDefect {
  readonly title: string;
  /** What an attacker in VTL0 gets. */
  readonly happens: string;
  /** Where in the published code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
}

/** What the secure kernel of LVBS accepts and should not, as its code was in February 2026 (litebox_platform_lvbs). */
export const lvbsDefects = {
  'B-L1': {
    title: 'The patches of a module come from VTL0, unsigned',
    happens:
      'A signed module is loaded with a table of patches of the attacker: any five bytes can then be patched into its text.',
    why: 'mshv_vsm_validate_guest_module reads ranges of type Patch from VTL0 and checks only that they lie in the module; the signature covers the ELF, not the table.',
    mend: 'The sites and what they may become come with what was signed. An entry of VTL0 that is not among them is -EACCES.',
  },
  'B-L2': {
    title: 'A patch outlives the page that it writes to',
    happens:
      'A site whose first byte is in text and whose others are in init text stays known when the init text is freed: its patch writes to the page of the next owner.',
    why: 'mshv_vsm_free_guest_module_init removes no patches; at unload they are looked up by where they begin.',
    mend: 'When pages are released every patch goes that has a byte in them.',
  },
  'B-L3': {
    title: 'What stands at a relocation is whatever the loader has left there',
    happens: 'Every call in a signed module goes where the attacker wants.',
    why: 'validate_kernel_module_against_elf copies the bytes at relocation sites from the loaded module before it compares (validation of relocations, microsoft/litebox#847, is about which sites, not what they hold).',
    mend: 'Each site has the contents that it may have; without any, only what its author built.',
  },
  'B-L4': {
    title: 'A module that is unloaded is handed over as it stands',
    happens:
      'Whoever has the token of a module that is in use unloads it, and its rodata, contents and all, is writable at once: tables of functions that the kernel still calls through can be edited in place.',
    why: 'mshv_vsm_unload_guest_module makes all ranges read-write and keeps their contents.',
    mend: 'The pages lose all access, VTL1 wipes them, and only then are they free memory. That is safe and not live: whoever still uses the module meets zeros.',
  },
  'B-L5': {
    title: 'The head and the tail of a patch are judged apart',
    happens: 'The head of a jump ends up on the tail of a no-op: e9 1f 44 00 00 jumps out of the text.',
    why: 'validate_text_poke_bp_batch accepts each step for itself when it equals the patch or the no-op.',
    mend: 'A step must leave the site as a whole variant, or as a breakpoint before the tail of one.',
  },
} as const satisfies { readonly [id: string]: LvbsDefect };

/** The id of a hole. */
export type LvbsDefectId = keyof typeof lvbsDefects;

/** Which holes the secure kernel has. */
export type LvbsDefectSwitches = { readonly [id in LvbsDefectId]: boolean };

/** LVBS's secure kernel as it was published in February 2026, or with its holes closed. */
export type LvbsProfile = 'lvbs-2026-02' | 'hardened';

/** All switches on (`lvbs-2026-02`) or off (`hardened`), but for `overrides`. */
export function lvbsDefectSwitches(
  profile: LvbsProfile,
  overrides: { readonly [id in LvbsDefectId]?: boolean } = {},
): LvbsDefectSwitches {
  const published = profile === 'lvbs-2026-02';
  return {
    'B-L1': overrides['B-L1'] ?? published,
    'B-L2': overrides['B-L2'] ?? published,
    'B-L3': overrides['B-L3'] ?? published,
    'B-L4': overrides['B-L4'] ?? published,
    'B-L5': overrides['B-L5'] ?? published,
  };
}
