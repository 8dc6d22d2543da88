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
  /** MAXPHYADDR: 32 .. 52. */
  readonly maxPhysicalAddressBits: number;
  /** 1-GiB leaves in PDPTEs (CPUID 8000_0001 EDX bit 26). */
  readonly gigabytePages: boolean;
  /** Execute-disable, EFER.NXE. */
  readonly nx: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  /** Protection keys for user pages, CR4.PKE. */
  readonly pku: boolean;
  /** Protection keys for supervisor pages, CR4.PKS. */
  readonly pks: boolean;
  /** 5-level paging, CR4.LA57. */
  readonly la57: boolean;
  /** Process-context identifiers, CR4.PCIDE. */
  readonly pcid: boolean;
  readonly umip: boolean;
  readonly fsgsbase: boolean;
  /** Control-flow enforcement, CR4.CET. */
  readonly cet: boolean;
  readonly xsave: boolean;
  /** VMX or SVM offered to this CPU's own software: CR4.VMXE, EFER.SVME. */
  readonly virtualization: boolean;
  /** `undefined` on a processor without EPT. */
  readonly ept: EptFeatures | undefined;
  /** `undefined` on a processor without nested paging. */
  readonly npt: NptFeatures | undefined;
}

/** Twelfth-generation Intel client: MBEC and VT-rp. What the model takes when nothing else is said. */
export const INTEL_VT_RP: CpuProfile = {
  name: 'intel-vt-rp',
  vendor: 'intel',
  maxPhysicalAddressBits: 46,
  gigabytePages: true,
  nx: true,
  smep: true,
  smap: true,
  pku: true,
  pks: true,
  la57: true,
  pcid: true,
  umip: true,
  fsgsbase: true,
  cet: true,
  xsave: true,
  virtualization: false,
  ept: {
    executeOnly: true,
    fiveLevel: true,
    twoMegabytePages: true,
    gigabytePages: true,
    accessedDirty: true,
    advancedViolationInfo: true,
    supervisorShadowStack: true,
    modeBasedExecute: true,
    virtualizationException: true,
    eptpSwitching: true,
    hlat: true,
    pagingWrite: true,
    guestPagingVerification: true,
    readModifyWriteReportsRead: false,
  },
  npt: undefined,
};

/** Skylake server: MBEC, no VT-rp, no 5-level paging. */
export const INTEL_SKYLAKE: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'intel-skylake',
  pks: false,
  la57: false,
  cet: false,
  ept: {
    executeOnly: true,
    fiveLevel: false,
    twoMegabytePages: true,
    gigabytePages: true,
    accessedDirty: true,
    advancedViolationInfo: true,
    supervisorShadowStack: false,
    modeBasedExecute: true,
    virtualizationException: true,
    eptpSwitching: true,
    hlat: false,
    pagingWrite: false,
    guestPagingVerification: false,
    readModifyWriteReportsRead: false,
  },
};

/** Haswell: EPT with accessed and dirty flags, but no MBEC: execution cannot be denied to the kernel alone. */
export const INTEL_HASWELL: CpuProfile = {
  ...INTEL_SKYLAKE,
  name: 'intel-haswell',
  smap: false,
  pku: false,
  umip: false,
  ept: {
    executeOnly: true,
    fiveLevel: false,
    twoMegabytePages: true,
    gigabytePages: true,
    accessedDirty: true,
    advancedViolationInfo: false,
    supervisorShadowStack: false,
    modeBasedExecute: false,
    virtualizationException: false,
    eptpSwitching: true,
    hlat: false,
    pagingWrite: false,
    guestPagingVerification: false,
    readModifyWriteReportsRead: true,
  },
};

/** AMD Zen 4: nested paging with GMET and read-only guest page tables. */
export const AMD_ZEN4: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'amd-zen4',
  vendor: 'amd',
  maxPhysicalAddressBits: 48,
  pks: false,
  ept: undefined,
  npt: { gmet: true, readOnlyGuestPageTables: true },
};

/** All profiles that have a name, the default first. */
export const CPU_PROFILES: readonly CpuProfile[] = [INTEL_VT_RP, INTEL_SKYLAKE, INTEL_HASWELL, AMD_ZEN4];
