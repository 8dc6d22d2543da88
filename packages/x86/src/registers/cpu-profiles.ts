import { CR4, EFER } from './control-registers.ts';
import type { CpuProfile, EptFeatures } from './cpu-profile.ts';

/** What every processor with long mode has (AMD64 as it came in 2003). */
const CR4_LONG_MODE: bigint =
  CR4.VME |
  CR4.PVI |
  CR4.TSD |
  CR4.DE |
  CR4.PSE |
  CR4.PAE |
  CR4.MCE |
  CR4.PGE |
  CR4.PCE |
  CR4.OSFXSR |
  CR4.OSXMMEXCPT;
const EFER_LONG_MODE: bigint = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE;

const CR4_HASWELL: bigint = CR4_LONG_MODE | CR4.FSGSBASE | CR4.PCIDE | CR4.OSXSAVE | CR4.SMEP;
const CR4_SKYLAKE: bigint = CR4_HASWELL | CR4.SMAP | CR4.PKE;
/** UMIP came with Ice Lake, and with Zen 2. */
const CR4_VT_RP: bigint = CR4_SKYLAKE | CR4.UMIP | CR4.LA57 | CR4.CET | CR4.PKS;

const EPT_SKYLAKE: EptFeatures = {
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
};

/** Twelfth-generation Intel client: MBEC and VT-rp. What the model takes when nothing else is said. */
export const INTEL_VT_RP: CpuProfile = {
  name: 'intel-vt-rp',
  vendor: 'intel',
  signature: 0x9_0672,
  maxPhysicalAddressBits: 46,
  gigabytePages: true,
  cr4: CR4_VT_RP,
  efer: EFER_LONG_MODE,
  ept: {
    ...EPT_SKYLAKE,
    fiveLevel: true,
    supervisorShadowStack: true,
    hlat: true,
    pagingWrite: true,
    guestPagingVerification: true,
  },
  npt: undefined,
};

/** Skylake server: MBEC, no VT-rp, no 5-level paging, no UMIP. */
export const INTEL_SKYLAKE: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'intel-skylake',
  signature: 0x5_0654,
  cr4: CR4_SKYLAKE,
  meltdown: true,
  ept: EPT_SKYLAKE,
};

/** Haswell: EPT with accessed and dirty flags, but no MBEC: execution cannot be denied to the kernel alone. */
export const INTEL_HASWELL: CpuProfile = {
  ...INTEL_SKYLAKE,
  name: 'intel-haswell',
  signature: 0x3_06c3,
  cr4: CR4_HASWELL,
  ept: {
    ...EPT_SKYLAKE,
    advancedViolationInfo: false,
    modeBasedExecute: false,
    virtualizationException: false,
    readModifyWriteReportsRead: true,
  },
};

/** Sapphire Rapids, a server of 2023: 52 address bits, CET and user interrupts (Intel 319433, table 1-2). */
export const INTEL_SAPPHIRE_RAPIDS: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'intel-sapphire-rapids',
  signature: 0x8_06f8,
  maxPhysicalAddressBits: 52,
  cr4: CR4_VT_RP | CR4.UINTR,
};

/** Diamond Rapids: LASS and LAM, which came with Sierra Forest, and FRED (Intel 319433, table 1-2; QEMU's DiamondRapids). */
export const INTEL_DIAMOND_RAPIDS: CpuProfile = {
  ...INTEL_SAPPHIRE_RAPIDS,
  name: 'intel-diamond-rapids',
  signature: 0x40_0f10,
  cr4: INTEL_SAPPHIRE_RAPIDS.cr4 | CR4.LASS | CR4.LAM_SUP | CR4.FRED,
};

/**
 * AMD Zen 4: nested paging with GMET and read-only guest page tables; automatic IBRS, which Linux switches on since 6.3, and the
 * translation cache extension, since 6.15. EFER.LMSLE is gone since Zen 3 (APM 2 3.1.7; PPR of family 19h, model 11h). EPYC has 52
 * address bits.
 */
export const AMD_ZEN4: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'amd-zen4',
  vendor: 'amd',
  signature: 0xa1_0f11,
  maxPhysicalAddressBits: 48,
  cr4: CR4_VT_RP & ~CR4.PKS,
  efer: EFER_LONG_MODE | EFER.FFXSR | EFER.TCE | EFER.MCOMMIT | EFER.INTWB | EFER.UAIE | EFER.AIBRSE,
  ept: undefined,
  npt: { gmet: true, readOnlyGuestPageTables: true },
};

/**
 * What QEMU gives a guest without `-cpu`, on KVM and an Intel host: no SMEP, SMAP, UMIP, XSAVE or 1-GiB leaves, and
 * 40 address bits (target/i386/cpu.c, `qemu64`). Vendor and second level are the host's.
 */
export const QEMU64: CpuProfile = {
  ...INTEL_VT_RP,
  name: 'qemu64',
  signature: 0x6_0fb1,
  maxPhysicalAddressBits: 40,
  gigabytePages: false,
  cr4: CR4_LONG_MODE & ~(CR4.VME | CR4.PVI),
};

/** All profiles that have a name, the default first. */
export const CPU_PROFILES: readonly CpuProfile[] = [
  INTEL_VT_RP,
  INTEL_SKYLAKE,
  INTEL_HASWELL,
  INTEL_SAPPHIRE_RAPIDS,
  INTEL_DIAMOND_RAPIDS,
  AMD_ZEN4,
  QEMU64,
];
