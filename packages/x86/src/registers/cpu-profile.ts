/** What Intel's second level, EPT, can do (IA32_VMX_EPT_VPID_CAP, SDM 3D A.10, and the VMX controls). */
export interface EptFeatures {
  /** Execute-only leaves are legal (capability bit 0). */
  readonly executeOnly: boolean;
  /** 5-level EPT (capability bit 7). */
  readonly fiveLevel: boolean;
  /** 2-MiB leaves (capability bit 16). */
  readonly twoMegabytePages: boolean;
  /** 1-GiB leaves (capability bit 17). */
  readonly gigabytePages: boolean;
  /** Accessed and dirty flags (capability bit 21). */
  readonly accessedDirty: boolean;
  /** Exit qualification bits 9 to 11 (capability bit 22). */
  readonly advancedViolationInfo: boolean;
  /** Supervisor shadow stacks, EPTP bit 7 (capability bit 23). */
  readonly supervisorShadowStack: boolean;
  /** Mode-based execute control, secondary control 22. */
  readonly modeBasedExecute: boolean;
  /** EPT violations can become #VE, secondary control 18. */
  readonly virtualizationException: boolean;
  /** VMFUNC with EPTP switching, secondary control 13. */
  readonly eptpSwitching: boolean;
  /** Hypervisor-managed linear-address translation, tertiary control 1. */
  readonly hlat: boolean;
  /** Paging-write, tertiary control 2. */
  readonly pagingWrite: boolean;
  /** Guest-paging verification, tertiary control 3. Needs {@link pagingWrite}. */
  readonly guestPagingVerification: boolean;
  /**
   * A violation by a read-modify-write has qualification bits 0 and 1, rather than bit 1 alone. The manual leaves this
   * to the implementation (SDM 3C 28.2.1, table 28-7).
   */
  readonly readModifyWriteReportsRead: boolean;
}

/** What AMD's second level, nested paging, can do (CPUID 8000_000A EDX). */
export interface NptFeatures {
  /** Guest mode execute trap (EDX bit 17). */
  readonly gmet: boolean;
  /** Read-only guest page tables (EDX bit 21). */
  readonly readOnlyGuestPageTables: boolean;
}

/** What a processor can do, as data: the part of CPUID that paging, its rules and its second level look at. */
export interface CpuProfile {
  /** Short name, as in `--cpu NAME`. */
  readonly name: string;
  readonly vendor: 'intel' | 'amd';
  /** Family, model and stepping as CPUID.1 gives them in EAX, and RESET and INIT leave them in EDX. */
  readonly signature: number;
  /** MAXPHYADDR: 32 .. 52. Memory encryption may have lowered it (APM 2 7.10.1). */
  readonly maxPhysicalAddressBits: number;
  /** The C-bit, 32 .. 51, where memory encryption (SME, SEV) is on: a bit of entries and of CR3 that is not part of the address. */
  readonly encryptionBit?: number | undefined;
  /** 1-GiB leaves in PDPTEs (CPUID 8000_0001 EDX bit 26). */
  readonly gigabytePages: boolean;
  /**
   * The bits of CR4 that can be set; all others are reserved. They tell its features, too: where CR4.SMAP can be set there
   * are CLAC and STAC.
   */
  readonly cr4: bigint;
  /** The bits of EFER that can be set; all others are reserved. */
  readonly efer: bigint;
  /** Speculates past U/S (Meltdown, CVE-2017-5754), so that Linux isolates page tables. Absent: it does not, or it is not known. */
  readonly meltdown?: boolean | undefined;
  /** `undefined` on a processor without EPT. */
  readonly ept: EptFeatures | undefined;
  /** `undefined` on a processor without nested paging. */
  readonly npt: NptFeatures | undefined;
}
