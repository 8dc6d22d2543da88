import { defectSwitches } from '@heki/series';
import { paravirtDefects } from './defects/paravirt-defects.ts';
import { type DriverOptions, type HekiPort, initHekiOnKvm } from './kvm.ts';

/**
 * The hypervisor that the kernel recognised from CPUID leaf 0x40000000 on (Linux arch/x86/kernel/cpu/hypervisor.c);
 * `none` when it runs on the bare processor, or on one that it does not know.
 */
export type DetectedHypervisor = 'none' | 'kvm' | 'hyperv' | 'vmware' | 'xen-hvm' | 'jailhouse' | 'acrn';

/** The outcome of {@link initHeki}. */
export type InitHekiResult =
  /** A driver fills the guest core's port. */
  | 'supported'
  /** The hypervisor has no Heki, or there is no driver for it. */
  | 'unsupported'
  /** A null pointer was called in setup_arch: the kernel does not boot (B-G21). */
  | 'null-call';

/** What `init_hypervisor_platform` does for Heki: calls `init_heki` of the hypervisor that was recognised (Heki v2 4/19). */
export function initHeki(
  guest: HekiPort,
  detected: DetectedHypervisor,
  options: DriverOptions,
): InitHekiResult {
  if (detected === 'kvm') return initHekiOnKvm(guest, options) ? 'supported' : 'unsupported';
  const { profile = 'hardened', defects } = options;
  if (detected !== 'none' && defectSwitches(paravirtDefects, profile, defects)['B-G21']) return 'null-call';
  return 'unsupported';
}
