import type { Bypass, Capabilities } from '@heki/hypervisor';
import type { ResolvedOptions } from './options.ts';
import { CR0_LOCKED, CR4_LOCKED, LOCKABLE_REGISTERS } from './secure-kernel/locked-registers.ts';

/** What Hyper-V with the secure kernel of this package can do. */
export function hypervCapabilities(options: ResolvedOptions): Capabilities {
  const bypasses: Bypass[] = options.iommuPolicy ? ['vmm'] : ['dma', 'vmm'];
  return {
    policyOwner: 'higher-privilege-level',
    executeSplit: options.mbec ? 'user-without-supervisor' : 'none',
    executeOnly: false,
    readDenial: true,
    immutability: { kind: 'end-of-boot', undoneBy: 'policy-owner' },
    unrequested: { read: true, write: true, supervisorExecute: true, userExecute: true },
    granule: 4096,
    largePages: 'split-by-backend',
    pins: { cr0: CR0_LOCKED, cr4: CR4_LOCKED, registers: LOCKABLE_REGISTERS, semantics: 'exact-value' },
    bypasses,
    inForce: 'on-return',
    failure: 'stops-at-first',
    denialsDecidedBy: 'higher-privilege-level',
    verdicts: ['general-protection'],
    lifeCycle: { reset: 'clear', kexec: 'keep' },
    saveRestore: true,
  };
}
