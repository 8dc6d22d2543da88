import { HypervisorError, type LifeCycle, waitForEntry } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { updateCrMasks } from './control-registers/control-registers.ts';
import { bindingOf } from './create-vm-state.ts';
import { endNested } from './nested/nested.ts';
import { initToL1 } from './nested/nested-exit.ts';
import type { VmState } from './vm-state.ts';

/**
 * INIT, reset and kexec. In the series nothing of this touches pins or attributes (B-H14).
 *
 * @param clear takes everything back that is enforced
 */
export function applyLifeCycle(vm: VmState, event: LifeCycle, clear: () => void): void {
  if (event.kind === 'init') {
    const vcpu = vm.vcpus[event.vcpu];
    if (vcpu === undefined) {
      throw new HypervisorError(`no virtual CPU ${event.vcpu}: expected 0 to ${vm.vcpus.length - 1}`);
    }
    waitForEntry(vcpu);
    if (!initToL1(vm, vcpu)) restart(vm, vcpu, 'init');
    return;
  }
  if (event.kind === 'reset') vm.vcpus.forEach(waitForEntry);
  const policy = event.kind === 'reset' ? vm.options.reset : vm.options.kexec;
  if (policy === 'clear' && !vm.defects['B-H14']) clear();
  if (event.kind === 'reset') for (const vcpu of vm.vcpus) restart(vm, vcpu, 'reset');
}

/** kvm_vcpu_reset(). */
function restart(vm: VmState, vcpu: Vcpu, how: 'init' | 'reset'): void {
  endNested(vm, vcpu);
  vcpu[how]();
  const binding = bindingOf(vm, vcpu);
  binding.cr0 = false;
  binding.cr4 = false;
  updateCrMasks(vm, vcpu);
}
