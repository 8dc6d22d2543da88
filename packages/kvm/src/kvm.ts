import type { Hypervisor } from '@heki/hypervisor';
import { kvmCapabilities } from './capabilities.ts';
import { createKvmVirtualMachine } from './create-virtual-machine.ts';
import { describeEvent } from './describe.ts';
import type { KvmEvent } from './event.ts';
import type { KvmOptions } from './options.ts';
import { resolveOptions } from './options.ts';
import type { KvmVirtualMachine } from './virtual-machine.ts';

/** KVM as a backend. */
export type Kvm = Hypervisor<KvmVirtualMachine, KvmEvent>;

/**
 * KVM with Heki's host half (Heki v2 2/19, 3/19, 5/19 to 11/19), for virtual machines on EPT or nested paging.
 *
 * @throws {HypervisorError} when a virtual machine is created on a processor without a second level
 */
export function createKvm(options: KvmOptions = {}): Kvm {
  const resolved = resolveOptions(options);
  return {
    name: 'kvm',
    capabilities: kvmCapabilities(resolved),
    processor: resolved.processor,
    defects:
      resolved.authenticate === undefined
        ? resolved.defects
        : { ...resolved.defects, ...resolved.codeDefects },
    createVirtualMachine: (machine) => createKvmVirtualMachine(resolved, machine),
    describe: describeEvent,
  };
}
