import type { VirtualMachine } from '@heki/hypervisor';
import type { KvmStatistics } from './statistics.ts';

/** A virtual machine of KVM: the contract, and what KVM itself offers to a VMM. */
export interface KvmVirtualMachine extends VirtualMachine {
  readonly statistics: KvmStatistics;
}
