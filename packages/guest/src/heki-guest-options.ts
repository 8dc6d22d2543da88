import type { DefectChoices, Profile } from '@heki/series';
import type { GuestDefectId } from './defects/guest-defects.ts';
import type { GuestEvent } from './event.ts';
import type { HekiHypervisor } from './hypervisor/heki-hypervisor.ts';
import type { HekiKernel, KernelConfig } from './kernel/kernel.ts';

/** What a Heki core is made of. */
export interface HekiGuestOptions {
  readonly kernel: HekiKernel;
  readonly config?: KernelConfig | undefined;
  /** The published series as it is, or with its defects mended. Default `hardened`. */
  readonly profile?: Profile;
  /** Single defects switched on or off against the profile. */
  readonly defects?: DefectChoices<GuestDefectId>;
  /** For a caller that has the hypervisor at hand already; otherwise a driver fills {@link HekiGuest.hypervisor}. */
  readonly hypervisor?: HekiHypervisor;
  /** `heki=`: default true. */
  readonly enabled?: boolean;
  /** `heki_test=N`: the KUnit test to run at the end of late init, 1 to 4. Default 0: none. */
  readonly test?: number;
  /** Runs a KUnit test. */
  readonly runTest?: (number: number) => void;
  /**
   * Most table pages that one walk reads, because page tables that point to each other have no end; what lies behind is
   * left out with a warning. Default 2^20: 2 TiB mapped by 4-KiB pages.
   */
  readonly tableBudget?: number;
  readonly onEvent?: ((event: GuestEvent) => void) | undefined;
}
