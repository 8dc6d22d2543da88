import type { EffectiveRights, Hypervisor, OtherWriteResult } from '@heki/hypervisor';
import { frameOf, type Gfn, type Gpa } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { type MemoryAttributes, userSetMemoryAttributes } from '../attributes/user-attributes.ts';
import { createVmState } from '../create-vm-state.ts';
import { describeEvent } from '../describe.ts';
import type { KvmEvent } from '../event.ts';
import { rightsOf } from '../memslots/host-frames.ts';
import { writeGuest } from '../memslots/other-writers.ts';
import { effectiveRights } from '../mmu/map-fault.ts';
import { flushRemoteTlbs, zap } from '../mmu/zap.ts';
import { policyCapabilities } from '../policy/capabilities.ts';
import { isDenied } from '../policy/denied-access.ts';
import { isLegal, NEGATIVE_ATTRIBUTES, rightsLeft } from '../policy/negative-rights.ts';
import { type KvmPolicyOptions, resolvePolicyOptions } from '../policy/options.ts';
import { createPairedVm } from '../policy/paired-vm.ts';
import {
  createPolicyMachine,
  type KvmPolicyMachine,
  type PolicyMachineParts,
} from '../policy/policy-machine.ts';
import type { KvmStatistics } from '../statistics.ts';
import type { VmState } from '../vm-state.ts';
import { planeSlots } from './plane-slots.ts';

/** The plane that owns the policy: what a VMM has of it by its file descriptors. */
export interface OwnerPlane {
  /** Its virtual CPUs, by the index of those of plane 0; made when first needed (KVM_CREATE_VCPU_PLANE). */
  readonly vcpus: readonly Vcpu[];
  /** What happened on its side. */
  readonly statistics: Readonly<KvmStatistics>;
  /** Times that the VMM has set `kvm_run.plane` to another plane than before. */
  readonly switches: number;
  /** What its second level grants of a guest page. */
  effectiveRights(gfn: Gfn): EffectiveRights | undefined;
  /** KVM_SET_MEMORY_ATTRIBUTES on this plane: 0 or a negative error number. It binds this plane alone. */
  setMemoryAttributes(attributes: MemoryAttributes): number;
  /** A store by a device that belongs to this plane: where an IOMMU follows rights, it follows this plane's. */
  writeByDevice(gpa: Gpa, bytes: Uint8Array): OtherWriteResult;
}

/** A VM with two planes: the contract and the VMM's hold on plane 0, where the guest runs, and a view of plane 1. */
export interface KvmPlanesMachine extends KvmPolicyMachine {
  readonly plane1: OwnerPlane;
}

/** KVM with planes, as a backend. */
export type KvmPlanes = Hypervisor<KvmPlanesMachine, KvmEvent>;

/**
 * KVM with VM planes as proposed (`[PATCH 00/29] KVM: VM planes`, Paolo Bonzini, 1 April 2025): one VM, one set of memslots, and for each plane
 * registers, memory attributes and a second level of its own, whose root tags what is cached. The guest runs in plane 0, and plane 1 owns the
 * policy. KVM does not switch: every exit goes to the VMM, which chooses by `kvm_run.plane` which plane goes on, and carries plane 1's wishes to
 * plane 0's file descriptor. The protections that attributes stand for, NR, NW, NX and NUX, and the interface between the
 * planes are this project's: the series leaves both to others. *Unjudged.*
 *
 * @throws {HypervisorError} when a virtual machine is created on a processor without a second level
 */
export function createKvmPlanes(options: KvmPolicyOptions = {}): KvmPlanes {
  const resolved = resolvePolicyOptions(options);
  const capabilities = policyCapabilities('higher-privilege-level', resolved);
  const splits = capabilities.executeSplit !== 'none';
  return {
    name: 'kvm-planes',
    capabilities,
    processor: resolved.processor,
    createVirtualMachine(machine) {
      const state = createVmState(resolved, machine);
      const own = createVmState(resolved, { host: machine.host, onYield: machine.onYield });
      const upper: Omit<VmState, 'owner'> = {
        ...own,
        slots: planeSlots(state.slots, (slot) => own.largePages.slotCreated(slot)),
        memory: state.memory,
      };
      const pair = createPairedVm({
        host: machine.host,
        lower: () => parts.vm,
        upper,
        rights: {
          rightsOf: (gfn) => rightsLeft(upper.attributes.get(gfn)),
          asked: () => [],
          userAttributes: NEGATIVE_ATTRIBUTES,
          isLegal: (attributes) => isLegal(attributes, splits),
          forbids: (fault) => isDenied(rightsOf(pair.vm, frameOf(fault.gpa)), fault),
        },
        onSwitch: (vcpu, to) => machine.onEvent?.({ type: 'plane-switch', vcpu, to }),
      });
      const parts: PolicyMachineParts = createPolicyMachine({
        name: 'kvm-planes',
        state,
        host: machine.host,
        port: pair.port,
        policy: options.policy ?? {},
        capabilities,
        plane: () => pair.vm,
      });
      return withPlane(parts, pair.vm, pair.switches);
    },
    describe: describeEvent,
  };
}

function withPlane(
  { machine, vm: lower }: PolicyMachineParts,
  vm: VmState,
  switches: () => number,
): KvmPlanesMachine {
  const { removeMemory } = machine;
  const additions: Pick<KvmPlanesMachine, 'removeMemory' | 'plane1'> = {
    removeMemory(start) {
      const slot = lower.slots.slots.find(({ base }) => base === start);
      removeMemory(start);
      if (slot === undefined) return;
      // The slot is gone from every plane (kvm_arch_flush_shadow_memslot).
      vm.locks.with('mmu_lock', () => {
        if (zap(vm, slot.base, (slot.base + slot.frames) as Gfn)) flushRemoteTlbs(vm);
      });
    },
    plane1: {
      vcpus: vm.vcpus,
      statistics: vm.statistics,
      get switches() {
        return switches();
      },
      effectiveRights: (gfn) => effectiveRights(vm, gfn),
      setMemoryAttributes: (attributes) => userSetMemoryAttributes(vm, attributes),
      writeByDevice: (gpa, bytes) => writeGuest(vm, 'dma', gpa, bytes),
    },
  };
  return Object.assign(machine, additions);
}
