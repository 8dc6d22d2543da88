import type { Vcpu } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';
import type { UserExit } from './vmm.ts';

/** KVM_RUN returns to the VMM, which runs until it calls KVM_RUN again. */
export function notifyVmm(vm: VmState, vcpu: Vcpu, exit: UserExit): void {
  vm.statistics.userExits++;
  vm.emit?.({ type: 'user-exit', vcpu: vcpu.id, exit });
  vm.options.vmm.onExit?.(exit);
}
