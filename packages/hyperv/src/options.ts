import type { DefectChoices } from '@heki/series';
import type { CpuProfile } from '@heki/x86';
import type { LvbsDefectId, LvbsDefectSwitches, LvbsVersion } from './defects/lvbs-defects.ts';
import type { TrustedCode } from './secure-kernel/trusted-code.ts';

/** What Hyper-V runs on, and what its secure kernel in VTL1 chooses. */
export interface HypervOptions {
  /** The host's processor, one with EPT. Default `INTEL_VT_RP`. */
  readonly processor?: CpuProfile;
  /**
   * VTL1 opts for mode-based execute control of VTL0. Default: where the processor has it. Without it the kernel's right to
   * execute is ignored and the user's decides for both.
   */
  readonly mbec?: boolean;
  /** VTL1 locks VTL0's TLB while it runs (bit 1 of its configuration). Default true. */
  readonly tlbLock?: boolean;
  /** The IOMMU keeps devices to VTL0's rights. Default false: DMA passes them. */
  readonly iommuPolicy?: boolean;
  /** Pages of ranges that VTL1 reads in one VTL call. Default 4,096. */
  readonly rangePages?: number;
  /** Modules and images that VTL1 lets VTL0 run, in every partition: what it has the signatures of. May grow. Default none. */
  readonly trusted?: TrustedCode;
  /** The code that runs in VTL1. Default `hardened`. */
  readonly secureKernel?: LvbsVersion;
  /** Single holes of it against that version. */
  readonly defects?: DefectChoices<LvbsDefectId>;
}

/** {@link HypervOptions} with every default filled in. */
export interface ResolvedOptions {
  readonly processor: CpuProfile;
  readonly mbec: boolean;
  readonly tlbLock: boolean;
  readonly iommuPolicy: boolean;
  readonly rangePages: number;
  readonly trusted: TrustedCode;
  readonly defects: LvbsDefectSwitches;
}
