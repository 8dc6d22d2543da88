import type { MemoryAccess } from '@heki/hypervisor';
import { frameOf } from '@heki/physical-memory';
import { type EmulatedAccess, type EmulatedMemory, type EmulatedTarget, type Vcpu, Vector } from '@heki/vcpu';
import { MemslotFlag, markDirty } from '../memslots/memslot.ts';
import { takesFlags } from '../memslots/table-memory.ts';
import { leafRights } from '../mmu/map-fault.ts';
import type { GuestFault } from '../mmu/page-fault.ts';
import { faultOfEmulatedAccess } from '../mmu/page-fault.ts';
import type { VmState } from '../vm-state.ts';
import { notifyVmm } from './user-exit.ts';

/** KVM_EXIT_MMIO. */
const EXIT_MMIO = 6;

const FAILURE = {
  kind: 'stop',
  why: 'an instruction, or the delivery of an exception, that KVM cannot emulate: KVM_EXIT_INTERNAL_ERROR (emulation)',
} as const;
/** User code alone does not end the VM (handle_emulation_failure). */
const INVALID_OPCODE = { kind: 'inject', exception: { vector: Vector.UD, errorCode: 0 } } as const;

/**
 * Guest memory as x86_emulate_instruction() reaches it: through slots and host mapping. Where no slot is, or a store meets a read-only one,
 * it is MMIO; flags in page tables there stay as they are, so that tables in a read-only slot work when theirs are set (Linux
 * arch/x86/kvm/mmu/paging_tmpl.h, update_accessed_dirty_bits). The series looks at no rights here (B-H12).
 */
export function emulatedMemory(vm: VmState, vcpu: Vcpu): EmulatedMemory {
  const bound = !vm.defects['B-H12'];
  return {
    memory: vm.memory,
    has: (gfn) => vm.slots.find(gfn) !== undefined,
    takesFlags: (gfn) => takesFlags(vm, gfn),
    judge(access) {
      const gfn = frameOf(access.gpa);
      const slot = vm.slots.find(gfn);
      if (slot === undefined) return 'device';
      const write = access.kind === 'write';
      if (write && (slot.flags & MemslotFlag.READONLY) !== 0) return 'device';
      if (bound) {
        const wanted = wantedOf(vm, vcpu, access);
        if (isForbidden(vm, access, wanted)) return deny(vm, vcpu, faultOfEmulatedAccess(access, wanted));
      }
      if (write) markDirty(slot, gfn);
      return 'memory';
    },
    onDevice: ({ gpa }) => notifyVmm(vm, vcpu, { reason: 'mmio', number: EXIT_MMIO, gpa }),
    failure: FAILURE,
    instructionFailure: vcpu.registers.cpl === 3 ? INVALID_OPCODE : FAILURE,
  };
}

/** Whose code a fetch is: the linear address decides on Intel, the CPL on AMD. */
function wantedOf(vm: VmState, vcpu: Vcpu, { kind, userPage }: EmulatedAccess): MemoryAccess {
  if (kind !== 'fetch') return kind;
  const user = vm.options.processor.vendor === 'amd' ? vcpu.registers.cpl === 3 : userPage;
  return user ? 'user-execute' : 'supervisor-execute';
}

function isForbidden(vm: VmState, { gpa }: EmulatedAccess, wanted: MemoryAccess): boolean {
  const rights = leafRights(vm, frameOf(gpa));
  switch (wanted) {
    case 'user-execute':
      return !rights.userExecute;
    case 'supervisor-execute':
      return !rights.supervisorExecute;
    case 'write':
      return !rights.write;
    default:
      return !rights.read;
  }
}

/** The owner's answer, as for an access that the processor makes. */
function deny(vm: VmState, vcpu: Vcpu, fault: GuestFault): EmulatedTarget {
  const handled = vm.owner.denied(vcpu, fault);
  const action = 'inUserSpace' in handled ? handled.inUserSpace() : handled.action;
  return action.kind === 'emulate' ? 'memory' : action;
}
