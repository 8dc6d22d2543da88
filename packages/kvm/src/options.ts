import { type AuthorityDefectId, authorityDefects, type SignedCode } from '@heki/code-authority';
import {
  DEFAULT_MAX_LIST_PAGES,
  KVM_ABI_REVISIONS,
  type KvmAbi,
  type KvmAbiRevision,
} from '@heki/hypercall/kvm';
import { HypervisorError } from '@heki/hypervisor';
import { type DefectChoices, type DefectSwitches, defectSwitches, type Profile } from '@heki/series';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { type KvmDefectId, type KvmDefectSwitches, kvmDefects } from './defects/kvm-defects.ts';
import type { Vmm } from './exit/vmm.ts';
import { type HlatOptions, type HlatSettings, hlatSettings } from './hlat/options.ts';

/** What KVM runs on, how its modules were loaded, and which defects it has. */
export interface KvmOptions {
  /** Default `hardened`. */
  readonly profile?: Profile;
  /** Single defects switched on or off against the profile. */
  readonly defects?: DefectChoices<KvmDefectId | AuthorityDefectId>;
  /** The host's processor: its vendor decides between EPT and nested paging. Default `INTEL_VT_RP`. */
  readonly processor?: CpuProfile;
  /** `kvm_intel.mbec` (Heki v2 5/19). Default true; without effect where the processor has no MBEC. */
  readonly mbec?: boolean;
  /** Guest mode execute trap, AMD's half of MBEC. Default true; without effect where the processor has none. */
  readonly gmet?: boolean;
  /**
   * HLAT, paging-write and guest-paging verification, which the series leaves for later: linear addresses of what is protected cannot be
   * mapped anew. For hypercall 14's own policy alone. Default off.
   */
  readonly hlat?: boolean | HlatOptions;
  /**
   * The host side owns the guest's code: once the kernel is sealed, it executes what was made of these signed files and nothing else. It needs
   * mode-based execute control, or GMET. Default: nobody does.
   */
  readonly authenticate?: SignedCode | undefined;
  /** `kvm.nx_huge_pages`: large leaves are never executable (iTLB multihit). Default false. */
  readonly nxHugePages?: boolean;
  /** The host's own CR0, which the published hypercall 13 looks at (B-H20). Default 0x80050033. */
  readonly hostCr0?: bigint;
  /** The host's own CR4. Default 0xb72ef8: SMEP, SMAP, UMIP, FSGSBASE and CET are set. */
  readonly hostCr4?: bigint;
  /** Numbers of exits and capabilities. Default `heki-v2` under the profile `rfc-v2`, else `renumbered`. */
  readonly abi?: Exclude<KvmAbiRevision, 'upstream'>;
  /** VMs have private memory (they are confidential): KVM_MEMORY_ATTRIBUTE_PRIVATE exists. Default false. */
  readonly privateMemory?: boolean;
  /** The VMM's mapping of guest memory follows the rights (a mechanism that the series does not have). Default false. */
  readonly hostMappingProtection?: boolean;
  /** IOMMU tables follow the rights (a mechanism that the series does not have). Default false. */
  readonly iommu?: boolean;
  /** What the VMM wants of protection at reset and kexec; without effect under B-H14. */
  readonly lifeCycle?: {
    /** Default `clear`: firmware and a new kernel need the memory. */
    readonly reset?: 'clear' | 'keep';
    /** Default `keep`: the old kernel, which asks for it, may be the attacker. */
    readonly kexec?: 'clear' | 'keep';
  };
  /** Races that KVM had once, put back: to see that something finds them. Default none. */
  readonly races?: Partial<KvmRaces>;
  /** What ends a call that would otherwise work without bound. */
  readonly budget?: Partial<KvmBudget>;
  /** The user-space half, which hears of exits. */
  readonly vmm?: Vmm;
}

/** What keeps processors apart, left out. */
export interface KvmRaces {
  /**
   * A fault is mapped with what it looked at, although that changed in the meantime or is changing: no is_page_fault_stale(). So it was before KVM
   * followed MMU notifiers (Linux 2.6.27).
   */
  readonly staleFaults: boolean;
  /** Virtual CPU 0 alone forgets what it cached: other processors were not told before kvm-28 (2007). */
  readonly localFlush: boolean;
}

/** Bounds of one hypercall. */
export interface KvmBudget {
  /** List pages read. Default 4,096: 692,224 ranges, for which the model needs about 60 MiB. */
  readonly listPages: number;
  /** Frames in one range, under B-H5. Default 2^30: 4 TiB. */
  readonly frames: number;
}

/** {@link KvmOptions} with every default filled in. */
export interface ResolvedOptions {
  readonly defects: KvmDefectSwitches;
  readonly processor: CpuProfile;
  /** MBEC is in the processor and switched on. */
  readonly mbec: boolean;
  /** GMET is in the processor and switched on. */
  readonly gmet: boolean;
  /** `enable_mbec` as the published code reads it, on AMD too (B-H17). */
  readonly mbecParameter: boolean;
  /** `undefined`: the guest's code has no owner. */
  readonly authenticate: SignedCode | undefined;
  /** Weaker variants of it. */
  readonly codeDefects: DefectSwitches<AuthorityDefectId>;
  /** `undefined`: no HLAT. */
  readonly hlat: HlatSettings | undefined;
  readonly nxHugePages: boolean;
  readonly hostCr0: bigint;
  readonly hostCr4: bigint;
  readonly abi: KvmAbi;
  readonly privateMemory: boolean;
  readonly hostMappingProtection: boolean;
  readonly iommu: boolean;
  readonly reset: 'clear' | 'keep';
  readonly kexec: 'clear' | 'keep';
  readonly races: KvmRaces;
  readonly budget: KvmBudget;
  readonly vmm: Vmm;
}

/** PE, MP, ET, NE, WP, AM and PG: what Linux runs with. */
const HOST_CR0 = 0x80050033n;
/** DE, PSE, PAE, MCE, PGE, OSFXSR, OSXMMEXCPT, UMIP, VMXE, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP and CET. */
const HOST_CR4 = 0xb72ef8n;

/** @throws {HypervisorError} when the processor has not all of it */
function resolveHlat(hlat: KvmOptions['hlat'], { name, ept }: CpuProfile): HlatSettings | undefined {
  if (hlat === undefined || hlat === false) return undefined;
  if (ept?.hlat !== true || !ept.pagingWrite || !ept.guestPagingVerification) {
    throw new HypervisorError(
      `processor ${name} has no HLAT, paging-write or guest-paging verification: expected one that has all three, as intel-vt-rp`,
    );
  }
  return hlatSettings(hlat === true ? {} : hlat);
}

/** @throws {HypervisorError} where the kernel's execution cannot be withheld */
function resolveCode(
  { authenticate, mbec = true, gmet = true }: KvmOptions,
  { name, ept, npt }: CpuProfile,
): SignedCode | undefined {
  if (authenticate === undefined) return undefined;
  const splits = (mbec && ept?.modeBasedExecute === true) || (gmet && npt?.gmet === true);
  if (splits) return authenticate;
  throw new HypervisorError(
    `code cannot be authenticated on processor ${name} without mode-based execute control or GMET: expected one that has it, and switched on`,
  );
}

/** @throws {HypervisorError} for what the processor does not have */
export function resolveOptions(options: KvmOptions): ResolvedOptions {
  const { profile = 'hardened', processor = INTEL_VT_RP, mbec = true, gmet = true } = options;
  return {
    defects: defectSwitches(kvmDefects, profile, options.defects),
    processor,
    mbec: mbec && processor.ept?.modeBasedExecute === true,
    gmet: gmet && processor.npt?.gmet === true,
    mbecParameter: mbec,
    authenticate: resolveCode(options, processor),
    codeDefects: defectSwitches(authorityDefects, 'hardened', options.defects),
    hlat: resolveHlat(options.hlat, processor),
    nxHugePages: options.nxHugePages ?? false,
    hostCr0: options.hostCr0 ?? HOST_CR0,
    hostCr4: options.hostCr4 ?? HOST_CR4,
    abi: KVM_ABI_REVISIONS[options.abi ?? (profile === 'rfc-v2' ? 'heki-v2' : 'renumbered')],
    privateMemory: options.privateMemory ?? false,
    hostMappingProtection: options.hostMappingProtection ?? false,
    iommu: options.iommu ?? false,
    reset: options.lifeCycle?.reset ?? 'clear',
    kexec: options.lifeCycle?.kexec ?? 'keep',
    races: { staleFaults: false, localFlush: false, ...options.races },
    budget: { listPages: DEFAULT_MAX_LIST_PAGES, frames: 2 ** 30, ...options.budget },
    vmm: options.vmm ?? {},
  };
}
