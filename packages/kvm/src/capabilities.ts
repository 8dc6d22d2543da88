import { CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import type { Bypass, Capabilities } from '@heki/hypervisor';
import { CR0 } from '@heki/x86';
import type { ResolvedOptions } from './options.ts';

/** What KVM with these options can do, as it would say itself: a defect is not a declared limit. */
export function kvmCapabilities(options: ResolvedOptions): Capabilities {
  const bypasses: Bypass[] = [];
  if (!options.iommu) bypasses.push('dma');
  if (!options.hostMappingProtection) bypasses.push('vmm');
  const splits = options.mbec || options.gmet;
  return {
    policyOwner: 'guest-kernel',
    executeSplit: splits ? 'supervisor-only' : 'never-denied',
    executeOnly: false,
    readDenial: false,
    immutability: { kind: 'per-page', undoneBy: options.defects['B-H14'] ? 'none' : 'vmm' },
    unrequested: { read: true, write: true, supervisorExecute: !splits, userExecute: true },
    granule: 4096,
    largePages: 'split-by-backend',
    pins: { cr0: CR0.WP, cr4: CR4_PINNED_MASK, registers: [], semantics: 'set-bits-stay-set' },
    bypasses,
    inForce: 'on-return',
    failure: options.defects['B-H6'] ? 'stops-at-first' : 'all-or-nothing',
    denialsDecidedBy: 'hypervisor',
    verdicts: ['page-fault', 'general-protection'],
    ...(options.authenticate === undefined ? {} : { authenticates: 'code' }),
    lifeCycle: options.defects['B-H14']
      ? { reset: 'keep', kexec: 'keep' }
      : { reset: options.reset, kexec: options.kexec },
    saveRestore: !options.defects['B-H14'],
  };
}
