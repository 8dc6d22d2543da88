import { CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import type { Bypass, Capabilities, PinnableRegister } from '@heki/hypervisor';
import { CR0 } from '@heki/x86';
import type { ResolvedOptions } from './options.ts';

/** Registers that the monitor can watch beside CR0 and CR4: SYSENTER_EIP and LSTAR by MOV_TO_MSR events, tables by DESCRIPTOR_ACCESS. */
export const PINNABLE_REGISTERS: readonly PinnableRegister[] = [
  'gdtr',
  'idtr',
  'ldtr',
  'tr',
  { msr: 0x176 },
  { msr: 0xc000_0082 },
];

/** What Xen with the monitor of this package can do. */
export function xenCapabilities(options: ResolvedOptions): Capabilities {
  const bypasses: Bypass[] = ['vmm', 'hypervisor-writes', 'emulator'];
  if (!options.iommuSharesP2m) bypasses.unshift('dma');
  return {
    policyOwner: 'another-domain',
    executeSplit: 'none',
    executeOnly: options.processor.ept?.executeOnly === true,
    readDenial: true,
    immutability: { kind: 'per-page', undoneBy: 'policy-owner' },
    unrequested: { read: true, write: true, supervisorExecute: true, userExecute: true },
    granule: 4096,
    largePages: 'split-by-backend',
    pins: {
      cr0: CR0.WP,
      cr4: CR4_PINNED_MASK,
      registers: PINNABLE_REGISTERS,
      semantics: 'set-bits-stay-set',
    },
    bypasses,
    inForce: 'on-return',
    failure: 'stops-at-first',
    denialsDecidedBy: 'another-domain',
    verdicts: ['page-fault', 'general-protection', 'skip', 'allow-once', 'stop'],
    lifeCycle: { reset: options.reset, kexec: options.kexec },
    saveRestore: true,
  };
}
