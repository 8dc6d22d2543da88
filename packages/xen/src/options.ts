import { DEFAULT_MAX_LIST_PAGES } from '@heki/hypercall/kvm';
import type { Verdict } from '@heki/hypervisor';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';

/** What Xen runs on, and what its monitor is told. */
export interface XenOptions {
  /** The host's processor, one with EPT. Default `INTEL_VT_RP`. Xen does not use its mode-based execute control. */
  readonly processor?: CpuProfile;
  /** What the monitor does about a denied access to memory. Default `page-fault`. */
  readonly memoryVerdict?: Verdict;
  /** What the monitor does about a denied register write; `skip` is DENY: the old value stays. Default `general-protection`. */
  readonly registerVerdict?: Exclude<Verdict, 'page-fault'>;
  /**
   * When the monitor's domain runs. `at-once` (default): whenever an event waits. `by-hand`: when
   * `runMonitor` is called, so that virtual CPUs wait and the ring can fill.
   */
  readonly monitor?: 'at-once' | 'by-hand';
  /** The IOMMU uses the p2m (iommu=sharept), so that devices meet the same rights. Default false. */
  readonly iommuSharesP2m?: boolean;
  /** What the monitor does at reset and kexec with what it enforces. Default: clear at reset, keep over kexec. */
  readonly lifeCycle?: { readonly reset?: 'clear' | 'keep'; readonly kexec?: 'clear' | 'keep' };
  /** List pages that the monitor reads in one request. Default 4,096. */
  readonly listPages?: number;
}

/** {@link XenOptions} with every default filled in. */
export interface ResolvedOptions {
  readonly processor: CpuProfile;
  readonly memoryVerdict: Verdict;
  readonly registerVerdict: Exclude<Verdict, 'page-fault'>;
  readonly monitor: 'at-once' | 'by-hand';
  readonly iommuSharesP2m: boolean;
  readonly reset: 'clear' | 'keep';
  readonly kexec: 'clear' | 'keep';
  readonly listPages: number;
}

export function resolveOptions(options: XenOptions): ResolvedOptions {
  return {
    processor: options.processor ?? INTEL_VT_RP,
    memoryVerdict: options.memoryVerdict ?? 'page-fault',
    registerVerdict: options.registerVerdict ?? 'general-protection',
    monitor: options.monitor ?? 'at-once',
    iommuSharesP2m: options.iommuSharesP2m ?? false,
    reset: options.lifeCycle?.reset ?? 'clear',
    kexec: options.lifeCycle?.kexec ?? 'keep',
    listPages: options.listPages ?? DEFAULT_MAX_LIST_PAGES,
  };
}
