import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';

/** The virtual frames `start` .. `end` - 1. */
export interface LinearRange {
  readonly start: VirtualFrame;
  readonly end: VirtualFrame;
}

/** How the owner of the policy uses VT-rp. What each piece is for shows when it is left out. */
export interface HlatOptions {
  /**
   * Linear addresses that are listed when they map what is protected. Those outside go through the guest's own tables, and can then not
   * reach protected frames at all (guest-paging verification). Default: all of the kernel's half, the direct map too.
   */
  readonly areas?: readonly LinearRange[];
  /**
   * Linear addresses that are listed as they are mapped, whatever their frames' rights: tables that the processor reads. Default Linux's
   * cpu_entry_area. The IDT, the GDT and the TSS of whoever asks first are listed in any case.
   */
  readonly tables?: readonly LinearRange[];
  /**
   * Which frames have paging-write access (SDM 3C 29.3.3.2): the owner's tables, which the guest cannot use without it; all, which lets any
   * table pass verification, and a page walk write into text; or none. Default `own-tables`.
   */
  readonly pagingWrite?: 'own-tables' | 'everywhere' | 'none';
  /** Guest-paging verification of every frame that is protected from stores. Default true. */
  readonly verification?: boolean;
  /** Every entry that lists nothing says restart, so that CR3 decides (SDM 3A 4.5.5). Default true. */
  readonly restart?: boolean;
}

/** {@link HlatOptions} with nothing left open. */
export type HlatSettings = Required<HlatOptions>;

/** CPU_ENTRY_AREA_BASE, and the 512 GiB from there on (Linux Documentation/arch/x86/x86_64/mm.rst). */
const CPU_ENTRY_AREA: LinearRange = {
  start: 0xf_ffff_e000_0000 as VirtualFrame,
  end: (0xf_ffff_e000_0000 + 2 ** 27) as VirtualFrame,
};
const EVERYTHING: LinearRange = { start: 0 as VirtualFrame, end: VIRTUAL_FRAME_END as VirtualFrame };

export function hlatSettings(options: HlatOptions): HlatSettings {
  return {
    areas: options.areas ?? [EVERYTHING],
    tables: options.tables ?? [CPU_ENTRY_AREA],
    pagingWrite: options.pagingWrite ?? 'own-tables',
    verification: options.verification ?? true,
    restart: options.restart ?? true,
  };
}
