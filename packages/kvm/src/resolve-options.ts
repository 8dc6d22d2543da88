import { type AuthorityDefectId, authorityDefects, type SignedCode } from '@heki/code-authority';
import { DEFAULT_MAX_LIST_PAGES, KVM_ABI_REVISIONS, type KvmAbi } from '@heki/hypercall/kvm';
import { HypervisorError } from '@heki/hypervisor';
import { type DefectSwitches, defectSwitches } from '@heki/series';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { type KvmDefectSwitches, kvmDefects } from './defects/kvm-defects.ts';
import type { Vmm } from './exit/vmm.ts';
import { type HlatSettings, hlatSettings } from './hlat/options.ts';
import type { KvmBudget, KvmOptions, KvmRaces } from './options.ts';

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
