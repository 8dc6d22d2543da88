import { CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import type { Bypass, Capabilities, PolicyOwner } from '@heki/hypervisor';
import { CR0 } from '@heki/x86';
import type { ResolvedOptions } from '../options.ts';
import { FULL_ACCESS } from './negative-rights.ts';

/** What KVM can do whose policy has an owner outside the guest. */
export function policyCapabilities(owner: PolicyOwner, options: ResolvedOptions): Capabilities {
  const bypasses: Bypass[] = options.iommu ? ['vmm'] : ['dma', 'vmm'];
  return {
    policyOwner: owner,
    executeSplit: options.mbec ? 'full' : options.gmet ? 'user-without-supervisor' : 'none',
    executeOnly: false,
    readDenial: true,
    immutability: { kind: 'per-page', undoneBy: 'policy-owner' },
    unrequested: FULL_ACCESS,
    granule: 4096,
    largePages: 'split-by-backend',
    pins: { cr0: CR0.WP, cr4: CR4_PINNED_MASK, registers: [], semantics: 'set-bits-stay-set' },
    bypasses,
    inForce: 'on-return',
    failure: 'all-or-nothing',
    denialsDecidedBy: owner,
    verdicts: ['page-fault', 'general-protection', 'skip', 'stop'],
    lifeCycle: { reset: options.reset, kexec: options.kexec },
    saveRestore: true,
  };
}
