import { type Hypervisor, HypervisorError } from '@heki/hypervisor';
import type { KvmEvent } from './event.ts';
import type { KvmOptions } from './options.ts';
import type { KvmVirtualMachine } from './virtual-machine.ts';

/** KVM as a backend. */
export type Kvm = Hypervisor<KvmVirtualMachine, KvmEvent>;

/** KVM with Heki's host half. */
export function createKvm(_options: KvmOptions = {}): Kvm {
  throw new HypervisorError('not built yet');
}
