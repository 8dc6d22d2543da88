import type { Vcpu } from '@heki/vcpu';
import { updateCrMasks } from '../control-registers/control-registers.ts';
import type { PinBinding } from '../control-registers/pin-binding.ts';
import { isHostState } from '../nested/nested.ts';
import type { HostRegisters } from '../nested/nested-guest.ts';
import type { VmState } from '../vm-state.ts';

/**
 * RSM to 64-bit mode (rsm_load_state_64): control registers come from the state save area, which belongs to firmware, and no MOV to CR is executed. The
 * series looks at pins where MOV to CR is carried out, and nowhere else (B-H14). The mended code shuts the virtual CPU down when a pinned bit would go,
 * as a processor does for a state that it cannot load.
 *
 * @param saved what the state save area holds, where it is not what the virtual CPU has
 */
export function resumeFromSmm(
  vm: VmState,
  vcpu: Vcpu,
  binding: PinBinding,
  saved: Partial<HostRegisters>,
): void {
  const { cr0, cr3, cr4, efer } = vcpu.registers;
  const loaded = { cr0, cr3, cr4, efer, ...saved };
  if (!isHostState(loaded, vcpu.processor)) {
    vcpu.halt('RSM finds control registers that 64-bit mode cannot have: shutdown');
    return;
  }
  // An L2's registers are free. With paging on CR0 is bound on every virtual CPU.
  const bound = !vm.nested.has(vcpu);
  const unpins =
    bound && ((vm.pins.cr0 & ~loaded.cr0) !== 0n || (binding.cr4 && (vm.pins.cr4 & ~loaded.cr4) !== 0n));
  if (unpins && !vm.defects['B-H14']) {
    vcpu.halt('RSM would load CR0 or CR4 without a pinned bit: KVM_EXIT_SHUTDOWN');
    return;
  }
  Object.assign(vcpu.registers, loaded);
  vcpu.invept();
  updateCrMasks(vm, vcpu);
}
