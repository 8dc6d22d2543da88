import type { EffectiveRights, Hypervisor } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { createVmState } from '../create-vm-state.ts';
import { describeEvent } from '../describe.ts';
import type { KvmEvent } from '../event.ts';
import { addRegion, removeRegion } from '../memslots/set-region.ts';
import { effectiveRights } from '../mmu/map-fault.ts';
import type { KvmStatistics } from '../statistics.ts';
import { policyCapabilities } from './capabilities.ts';
import { type KvmPolicyOptions, resolvePolicyOptions } from './options.ts';
import { createPairedVm, type PairedVm, UNBOUND } from './paired-vm.ts';
import { createPolicyMachine, type KvmPolicyMachine, type PolicyMachineParts } from './policy-machine.ts';

/** A pair of VMs over one memory: the contract and the VMM's hold on VTL0, and a view of VTL1. */
export interface KvmVtlMachine extends KvmPolicyMachine {
  readonly vtl1: {
    /** Its virtual CPUs, by the index of their other halves; made when first needed. */
    readonly vcpus: readonly Vcpu[];
    /** What happened on its side. */
    readonly statistics: Readonly<KvmStatistics>;
    /** Times that the VMM ran another half of a pair than before. */
    readonly switches: number;
    /** What its second level grants of a guest page: VTL0's attributes do not bind it. */
    effectiveRights(gfn: Gfn): EffectiveRights | undefined;
  };
}

/** KVM with a paired VM as the owner of the policy, as a backend. */
export type KvmVtl = Hypervisor<KvmVtlMachine, KvmEvent>;

/**
 * KVM with two VMs over one memory, one for each virtual trust level: the guest runs in VTL0, and the policy belongs to VTL1, whose
 * second level is its own. The VMM, which hears of every exit, only carries messages: requests and denials to VTL1, VTL1's changes of
 * attributes and pins to VTL0's VM. The reviewers' other proposal (VSM on KVM). *Unjudged.*
 *
 * @throws {HypervisorError} when a virtual machine is created on a processor without a second level
 */
export function createKvmVtl(options: KvmPolicyOptions = {}): KvmVtl {
  const resolved = resolvePolicyOptions(options);
  const capabilities = policyCapabilities('higher-privilege-level', resolved);
  return {
    name: 'kvm-vtl',
    capabilities,
    processor: resolved.processor,
    createVirtualMachine(machine) {
      const pair = createPairedVm({
        host: machine.host,
        lower: () => parts.vm,
        upper: createVmState(resolved, { host: machine.host, onYield: machine.onYield }),
        rights: UNBOUND,
        onSwitch: (vcpu, to) => machine.onEvent?.({ type: 'vtl-switch', vcpu, to }),
      });
      const parts: PolicyMachineParts = createPolicyMachine({
        name: 'kvm-vtl',
        state: createVmState(resolved, machine),
        host: machine.host,
        port: pair.port,
        policy: options.policy ?? {},
        capabilities,
      });
      return pairMachines(parts.machine, pair);
    },
    describe: describeEvent,
  };
}

/** Both VMs have the same slots. */
function pairMachines(machine: KvmPolicyMachine, { vm, switches }: PairedVm): KvmVtlMachine {
  const { addMemory, removeMemory } = machine;
  const additions: Pick<KvmVtlMachine, 'addMemory' | 'removeMemory' | 'vtl1'> = {
    addMemory(region) {
      addMemory(region);
      addRegion(vm, region);
    },
    removeMemory(start) {
      removeMemory(start);
      removeRegion(vm, start);
    },
    vtl1: {
      vcpus: vm.vcpus,
      statistics: vm.statistics,
      get switches() {
        return switches();
      },
      effectiveRights: (gfn) => effectiveRights(vm, gfn),
    },
  };
  return Object.assign(machine, additions);
}
