import { EptQualification } from '@heki/ept';
import { frameOf } from '@heki/physical-memory';
import { type Exception, type ExitAction, type Vcpu, Vector, type VmExit } from '@heki/vcpu';
import { writeCr } from '../control-registers/control-registers.ts';
import type { PinBinding } from '../control-registers/pin-binding.ts';
import { yieldAt } from '../host/yield.ts';
import { handleHypercall } from '../hypercall/hypercall.ts';
import { fastPageFault } from '../mmu/fast-page-fault.ts';
import { mapFault } from '../mmu/map-fault.ts';
import { faultOfEptViolation, faultOfNestedPageFault, type GuestFault } from '../mmu/page-fault.ts';
import { exitToL1 } from '../nested/nested-exit.ts';
import type { VmState } from '../vm-state.ts';
import { emulatedMemory } from './emulated-memory.ts';
import type { Handled } from './handled.ts';
import { notifyVmm } from './user-exit.ts';

/** Handles an exit of a virtual CPU: vcpu_enter_guest()'s other half. SRCU is held until KVM_RUN returns. */
export function handleExit(vm: VmState, vcpu: Vcpu, binding: PinBinding, exit: VmExit): ExitAction {
  vm.statistics.exits++;
  vm.log.tick();
  const reflected = exitToL1(vm, vcpu, exit);
  if (reflected !== undefined) return reflected;
  const handled = vm.locks.with('srcu', () => handle(vm, vcpu, binding, exit));
  if ('inUserSpace' in handled) return handled.inUserSpace();
  if (handled.userExit !== undefined) notifyVmm(vm, vcpu, handled.userExit);
  yieldAt(vm, 'resume');
  return handled.action;
}

function handle(vm: VmState, vcpu: Vcpu, binding: PinBinding, exit: VmExit): Handled {
  switch (exit.reason) {
    case 'ept-violation': {
      const accessedDirty = vm.options.processor.ept?.accessedDirty === true;
      const fault = faultOfEptViolation(exit, accessedDirty);
      vm.emit?.({
        type: 'ept-violation',
        vcpu: vcpu.id,
        gpa: exit.gpa,
        linear: fault.linear,
        qualification: exit.qualification,
        errorCode: fault.errorCode,
      });
      return handleVtRp(vm, vcpu, fault, exit.qualification) ?? handleFault(vm, vcpu, fault);
    }
    case 'nested-page-fault': {
      const linear = vm.defects['B-H17'] ? undefined : vcpu.operandAddress;
      const fault = faultOfNestedPageFault(exit, vcpu.registers.cpl !== 0, linear);
      vm.emit?.({ type: 'nested-page-fault', vcpu: vcpu.id, gpa: exit.gpa, errorCode: fault.errorCode });
      return handleFault(vm, vcpu, fault);
    }
    case 'ept-misconfiguration':
      return stop(
        `EPT misconfiguration at guest-physical 0x${exit.gpa.toString(16)}: KVM_EXIT_INTERNAL_ERROR`,
      );
    case 'mov-to-cr': {
      const denial = exit.cr === 3 ? undefined : vm.owner.registerWrite(vcpu, binding, exit.cr, exit.value);
      return denial ?? { action: writeCr(vm, vcpu, binding, exit.cr, exit.value) };
    }
    case 'hypercall':
      return handleHypercall(vm, vcpu);
    case 'rdmsr': {
      const value = vcpu.emulateRdmsr(exit.msr);
      if (value === undefined) return inject({ vector: Vector.GP, errorCode: 0 });
      vcpu.registers.rax = value & 0xffff_ffffn;
      vcpu.registers.rdx = value >> 32n;
      return { action: { kind: 'skip' } };
    }
    case 'wrmsr': {
      const exception = vcpu.emulateWrmsr(exit.msr, exit.value);
      return exception === undefined ? { action: { kind: 'skip' } } : inject(exception);
    }
    case 'vmx-instruction':
      // No VMXON was executed: how a hypervisor inside the guest comes to its L2 is not modelled as instructions.
      return inject({ vector: Vector.UD, errorCode: 0 });
    case 'vmfunc':
      return inject({ vector: Vector.UD, errorCode: 0 });
    case 'descriptor-table': {
      const exception = vcpu.emulateDescriptorLoad(exit);
      return exception === undefined ? { action: { kind: 'skip' } } : inject(exception);
    }
    case 'triple-fault':
      return stop('triple fault: KVM_EXIT_SHUTDOWN');
  }
}

/** What only a VM with HLAT meets: its owner's tables, and verification. */
function handleVtRp(vm: VmState, vcpu: Vcpu, fault: GuestFault, qualification: number): Handled | undefined {
  if ((qualification & EptQualification.VERIFICATION) !== 0) {
    vm.statistics.verificationDenials++;
    return vm.owner.denied(vcpu, fault);
  }
  if (vm.hlat?.owns(frameOf(fault.gpa)) !== true) return undefined;
  if (fault.access === 'page-walk' || fault.access === 'page-walk-update') {
    const code = qualification.toString(16).padStart(3, '0');
    return stop(
      `the owner's page tables cannot be walked without paging-write access, qualification 0x${code}`,
    );
  }
  return vm.owner.denied(vcpu, fault);
}

/** kvm_mmu_page_fault(): what the rights forbid is the owner's business, anything else is mapped. */
function handleFault(vm: VmState, vcpu: Vcpu, fault: GuestFault): Handled {
  vm.statistics.faults++;
  const { sequence } = vm.invalidation;
  if (vm.owner.forbids(fault)) return vm.owner.denied(vcpu, fault);
  yieldAt(vm, 'fault', () => ({
    of: `${fault.access} of 0x${fault.gpa.toString(16)}, error code 0x${fault.errorCode.toString(16)}`,
    get stale() {
      return vm.invalidation.sequence !== sequence || vm.invalidation.inProgress > 0;
    },
    goOn: () => vm.locks.with('srcu', () => fastPageFault(vm, fault) || mapFault(vm, fault, sequence)),
  }));
  if (fastPageFault(vm, fault)) return { action: { kind: 'resume' } };
  switch (mapFault(vm, fault, sequence)) {
    case 'mapped':
    case 'retry':
      return { action: { kind: 'resume' } };
    case 'spurious':
      vm.emit?.({ type: 'spurious', vcpu: vcpu.id, gpa: fault.gpa });
      return { action: { kind: 'resume' } };
    case 'no-memory':
      return stop('no host memory is left for second-level tables: KVM_RUN returns -ENOMEM');
    case 'emulate':
      if (vm.nested.has(vcpu)) {
        return stop(`an L2's access to 0x${fault.gpa.toString(16)} would be emulated, which is not modelled`);
      }
      return { action: { kind: 'emulate', memory: emulatedMemory(vm, vcpu) } };
  }
}

function inject(exception: Exception): Handled {
  return { action: { kind: 'inject', exception } };
}

function stop(why: string): Handled {
  return { action: { kind: 'stop', why } };
}
