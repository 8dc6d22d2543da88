import { describeExit, type ExitAction, type Vcpu, type VmExit } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';
import type { NestedExit, NestedGuest } from './nested-guest.ts';

/**
 * An exit of an L2 that belongs to the hypervisor inside the guest: what that does about it. `undefined` for one that KVM handles, of an L2
 * or of the guest itself (nested_vmx_reflect_vmexit, nested_svm_exit_handled).
 */
export function exitToL1(vm: VmState, vcpu: Vcpu, exit: VmExit): ExitAction | undefined {
  const guest = vm.nested.get(vcpu);
  if (guest === undefined || !belongsToL1(guest, vcpu, exit)) return undefined;
  return reflect(vm, vcpu, exit);
}

/**
 * INIT that meets an L2 belongs to L1 on Intel whatever the controls (SDM 3C 26.2, vmx_check_nested_events), and on AMD when L1 intercepts
 * it (svm_check_nested_events). Whether L1 has had it, and the virtual CPU does not start again for now: Intel's exit takes the signal, AMD's
 * leaves it pending, and L1 takes it once it has left its L2 and sets GIF.
 */
export function initToL1(vm: VmState, vcpu: Vcpu): boolean {
  const guest = vm.nested.get(vcpu);
  const amd = vcpu.processor.vendor === 'amd';
  // One that stands still runs no L2 any more: INIT is its VMM's way to start it again.
  if (guest === undefined || vcpu.halted !== undefined) return false;
  if (amd && guest.controls.svm?.init !== true) return false;
  const action = reflect(vm, vcpu, { reason: 'init' });
  if (action.kind === 'stop') vcpu.halt(action.why);
  else if (action.kind === 'inject') vcpu.queueException(action.exception);
  return !amd || vcpu.halted !== undefined || vm.nested.has(vcpu);
}

function reflect(vm: VmState, vcpu: Vcpu, exit: NestedExit): ExitAction {
  vm.emit?.({ type: 'nested-exit', vcpu: vcpu.id, exit });
  return (
    vm.onNestedExit.get(vcpu)?.(vcpu, exit) ?? {
      kind: 'stop',
      why: `a VM exit to L1, which has no handler for it: ${describeNestedExit(exit)}`,
    }
  );
}

/** An exit to L1 in words. */
export function describeNestedExit(exit: NestedExit): string {
  return exit.reason === 'init' ? 'INIT' : describeExit(exit);
}

function belongsToL1({ view, controls }: NestedGuest, vcpu: Vcpu, exit: VmExit): boolean {
  switch (exit.reason) {
    case 'ept-violation':
    case 'ept-misconfiguration':
    case 'nested-page-fault':
      return view.reflected;
    case 'mov-to-cr':
      if (exit.cr === 3) return controls.cr3LoadExiting;
      return vcpu.processor.vendor === 'amd'
        ? interceptsWrite(controls, exit.cr)
        : changesOwned(controls, exit.cr, exit.value);
    case 'rdmsr':
      return controls.readExitingMsrs === 'all' || controls.readExitingMsrs.has(exit.msr);
    case 'wrmsr':
      return controls.writeExitingMsrs === 'all' || controls.writeExitingMsrs.has(exit.msr);
    case 'descriptor-table':
      return controls.descriptorTableExiting;
    // VMCALL and every instruction of VMX exit whatever the controls (SDM 3C 26.1.2); VMMCALL exits only where L1 wants it to.
    case 'hypercall':
    case 'vmx-instruction':
    case 'triple-fault':
      return true;
    case 'vmfunc':
      return false;
  }
}

/** nested_vmx_exit_handled_cr(): bits that L1 owns would change from what its read shadow shows. */
function changesOwned(
  { cr0Mask, cr0Shadow, cr4Mask, cr4Shadow }: NestedGuest['controls'],
  cr: 0 | 4,
  value: bigint,
): boolean {
  return cr === 0 ? ((value ^ cr0Shadow) & cr0Mask) !== 0n : ((value ^ cr4Shadow) & cr4Mask) !== 0n;
}

/** SVM has no masks: what KVM itself does not leave for exits because L1 wants it to. */
function interceptsWrite({ svm }: NestedGuest['controls'], cr: 0 | 4): boolean {
  if (svm === undefined) return false;
  return cr === 4 ? svm.cr4Write : svm.cr0Write || svm.cr0Selective;
}
