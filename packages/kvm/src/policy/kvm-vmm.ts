import type { Hypervisor } from '@heki/hypervisor';
import { userSetMemoryAttributes } from '../attributes/user-attributes.ts';
import { setPins } from '../control-registers/control-registers.ts';
import { createVmState } from '../create-vm-state.ts';
import { describeEvent } from '../describe.ts';
import type { KvmEvent } from '../event.ts';
import { returnToUserSpace } from '../exit/user-exit.ts';
import type { VmState } from '../vm-state.ts';
import { policyCapabilities } from './capabilities.ts';
import { type KvmPolicyOptions, resolvePolicyOptions } from './options.ts';
import type { OwnerPort } from './owner-port.ts';
import { createPolicyMachine, type KvmPolicyMachine, type PolicyMachineParts } from './policy-machine.ts';

/** KVM whose VMM owns the policy, as a backend. */
export type KvmVmm = Hypervisor<KvmPolicyMachine, KvmEvent>;

/**
 * KVM with mechanisms only: the VMM owns the policy. Each of the guest's requests is an exit to it, it sets memory attributes that take
 * rights away (0 is full access), and an access that they forbid is KVM_EXIT_MEMORY_FAULT: what reviewers of the series asked for
 * ("I don't want KVM to get involved in defining policy"). *Unjudged.*
 *
 * @throws {HypervisorError} when a virtual machine is created on a processor without a second level
 */
export function createKvmVmm(options: KvmPolicyOptions = {}): KvmVmm {
  const resolved = resolvePolicyOptions(options);
  const capabilities = policyCapabilities('vmm', resolved);
  return {
    name: 'kvm-vmm',
    capabilities,
    processor: resolved.processor,
    createVirtualMachine(machine) {
      const parts: PolicyMachineParts = createPolicyMachine({
        name: 'kvm-vmm',
        state: createVmState(resolved, machine),
        host: machine.host,
        port: createVmmPort(() => parts.vm),
        policy: options.policy ?? {},
        capabilities,
      });
      return parts.machine;
    },
    describe: describeEvent,
  };
}

/** The VMM's thread is where the exit returns to, and it has the VM's file descriptor. */
function createVmmPort(vm: () => VmState): OwnerPort {
  return {
    by: 'vmm',
    reader: vm,
    ask(vcpu, exit, decide) {
      returnToUserSpace(vm(), vcpu, exit);
      return decide();
    },
    act: (action) => action(),
    setAttributes(start, end, attributes) {
      userSetMemoryAttributes(vm(), {
        address: BigInt(start) << 12n,
        size: BigInt(end - start) << 12n,
        attributes: BigInt(attributes),
        flags: 0n,
      });
    },
    setPins: (cr0, cr4) => setPins(vm(), cr0, cr4),
  };
}
