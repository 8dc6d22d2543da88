import type { Vcpu } from '@heki/vcpu';
import type { PolicyExit } from '../policy/policy-exit.ts';
import type { VmState } from '../vm-state.ts';
import type { UserExit } from './vmm.ts';

/** KVM_RUN returns to the VMM. */
export function returnToUserSpace(vm: VmState, vcpu: Vcpu, exit: UserExit | PolicyExit): void {
  vm.statistics.userExits++;
  vm.emit?.({ type: 'user-exit', vcpu: vcpu.id, exit });
}

/** The same for an exit that the VMM only hears of, until it calls KVM_RUN again. */
export function notifyVmm(vm: VmState, vcpu: Vcpu, exit: UserExit): void {
  returnToUserSpace(vm, vcpu, exit);
  vm.options.vmm.onExit?.(exit);
}
