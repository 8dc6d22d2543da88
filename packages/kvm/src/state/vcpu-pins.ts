import type { VcpuPins } from '@heki/hypervisor';
import { updateCrMasks } from '../control-registers/control-registers.ts';
import type { VmState } from '../vm-state.ts';

/** Which virtual CPUs INIT has unbound, by register. */
export function savePins(vm: VmState): { readonly vcpus?: readonly VcpuPins[] } {
  const vcpus: VcpuPins[] = [];
  for (const [vcpu, binding] of [...vm.bindings].sort(([a], [b]) => a - b)) {
    const starting = (['cr0', 'cr4'] as const).filter((register) => !binding[register]);
    if (starting.length > 0) vcpus.push({ vcpu, starting });
  }
  return vcpus.length === 0 ? {} : { vcpus };
}

/** All but these are bound; a virtual CPU that is made later finds what is said of it. */
export function restorePins(vm: VmState, vcpus: readonly VcpuPins[] = []): void {
  for (const binding of vm.bindings.values()) Object.assign(binding, { cr0: true, cr4: true });
  for (const { vcpu, starting = [] } of vcpus) {
    const binding = { cr0: !starting.includes('cr0'), cr4: !starting.includes('cr4') };
    const present = vm.bindings.get(vcpu);
    if (present === undefined) vm.bindings.set(vcpu, binding);
    else Object.assign(present, binding);
  }
  for (const vcpu of vm.vcpus) updateCrMasks(vm, vcpu);
}
