import { INTEL_VT_RP } from '@heki/x86';
import type { Capabilities } from '../../capabilities.ts';
import type { ConformanceSetup } from '../../conformance/setup.ts';
import type { Verdict } from '../../denial.ts';
import type { HypervisorEvent } from '../../event.ts';
import type { Hypervisor } from '../../virtual-machine.ts';
import { referenceCalls } from './reference-calls.ts';
import { createReferenceMachine } from './reference-hypervisor.ts';
import type { ReferenceMachine } from './reference-machine.ts';

export type ReferenceSetup = ConformanceSetup<ReferenceMachine, HypervisorEvent>;

/** What a reference hypervisor has that nothing else is said of: everything that can be kept apart is. */
export const REFERENCE: Capabilities = {
  policyOwner: 'vmm',
  executeSplit: 'full',
  executeOnly: true,
  readDenial: true,
  immutability: { kind: 'none' },
  unrequested: { read: true, write: true, supervisorExecute: true, userExecute: true },
  granule: 4096,
  largePages: 'split-by-backend',
  pins: {
    // WP; UMIP, FSGSBASE and SMEP, and TSD, which the kit's guest has clear.
    cr0: 1n << 16n,
    cr4: (1n << 11n) | (1n << 16n) | (1n << 20n) | (1n << 2n),
    registers: ['gdtr', 'tr', { msr: 0xc000_0082 }],
    semantics: 'set-bits-stay-set',
  },
  bypasses: [],
  inForce: 'on-return',
  failure: 'all-or-nothing',
  denialsDecidedBy: 'hypervisor',
  verdicts: ['page-fault', 'general-protection'],
  lifeCycle: { reset: 'clear', kexec: 'keep' },
  saveRestore: true,
};

/** A backend that keeps `kept` and declares `declared`. */
export function referenceSetup(kept: Capabilities, declared: Capabilities = kept): ReferenceSetup {
  const hypervisor = (decided?: Verdict): Hypervisor<ReferenceMachine, HypervisorEvent> => ({
    name: 'reference',
    capabilities: declared,
    processor: INTEL_VT_RP,
    createVirtualMachine: (options) => createReferenceMachine({ kept, decided }, options),
    describe: ({ type }) => type,
  });
  const endsBoot = [kept, declared].some(({ immutability }) => immutability.kind === 'end-of-boot');
  return {
    hypervisor: hypervisor(),
    deciding: hypervisor,
    guestCalls(places) {
      const { endOfBoot, ...calls } = referenceCalls(places);
      return { ...calls, ...(endsBoot && endOfBoot !== undefined ? { endOfBoot } : {}) };
    },
  };
}
