import type { KvmRaces } from '@heki/kvm';

/** A hypervisor with requests and faults as steps; KVM perhaps with a race put back that it had once. */
export interface Interleaved {
  readonly hypervisor: 'kvm' | 'hyperv' | 'xen';
  readonly races?: Partial<KvmRaces>;
  readonly but?: string;
}

export const INTERLEAVED: ReadonlyMap<string, Interleaved> = new Map([
  ['kvm-interleaved', { hypervisor: 'kvm' }],
  [
    'kvm-interleaved-stale-faults',
    {
      hypervisor: 'kvm',
      races: { staleFaults: true },
      but: ', and a fault is mapped though what it looked at has changed',
    },
  ],
  [
    'kvm-interleaved-local-flush',
    {
      hypervisor: 'kvm',
      races: { localFlush: true },
      but: ', and processor 0 alone is told to forget what it cached',
    },
  ],
  ['hyperv-interleaved', { hypervisor: 'hyperv' }],
  ['xen-interleaved', { hypervisor: 'xen' }],
]);
