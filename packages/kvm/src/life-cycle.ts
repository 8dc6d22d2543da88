import {
  attributesOfPermissions,
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  permissionsOfAttributes,
} from '@heki/hypercall/kvm';
import {
  HypervisorError,
  type LifeCycle,
  type ProtectionRange,
  type ProtectionState,
} from '@heki/hypervisor';
import { FRAME_END } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { ALL_PERMISSIONS } from './attributes/permissions.ts';
import { permissionsOfRights, rawRange, rightsOfPermissions } from './attributes/rights.ts';
import { setMemoryAttributes } from './attributes/set-attributes.ts';
import { setPins, updateCrMasks } from './control-registers/control-registers.ts';
import { bindingOf } from './create-vm-state.ts';
import { zapAll } from './mmu/zap.ts';
import { leaveNested, leaveProtectedNested } from './nested/nested.ts';
import type { HekiVmState, VmState } from './vm-state.ts';

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
    restart(vm, vcpu, 'init');
    return;
  }
  const policy = event.kind === 'reset' ? vm.options.reset : vm.options.kexec;
  if (policy === 'clear' && !vm.defects['B-H14']) clear();
  if (event.kind === 'reset') for (const vcpu of vm.vcpus) restart(vm, vcpu, 'reset');
}

/** kvm_vcpu_reset(). */
function restart(vm: VmState, vcpu: Vcpu, how: 'init' | 'reset'): void {
  leaveNested(vm, vcpu);
  vcpu[how]();
  const binding = bindingOf(vm, vcpu);
  binding.cr0 = false;
  binding.cr4 = false;
  updateCrMasks(vm, vcpu);
}

/** Takes all rights and pins back. */
export function clearState(vm: HekiVmState): void {
  replaceState(vm, NOTHING);
}

const NOTHING: ProtectionState = {
  ranges: [],
  otherwise: rightsOfPermissions(ALL_PERMISSIONS),
  cr0: 0n,
  cr4: 0n,
};

/** Everything that is enforced. The series has no getter (B-H14). */
export function saveState(vm: HekiVmState): ProtectionState | undefined {
  if (vm.defects['B-H14']) return undefined;
  const ranges: ProtectionRange[] = [];
  vm.attributes.forEach(0, FRAME_END, (start, end, value) => {
    const heki = value & HEKI_ATTRIBUTE_MASK;
    if (heki === 0) return;
    const immutable = (heki & HEKI_ATTRIBUTE_IMMUTABLE) !== 0;
    ranges.push({ start, end, rights: rightsOfPermissions(permissionsOfAttributes(heki)), immutable });
  });
  return { ranges, otherwise: rightsOfPermissions(vm.permissions.default), ...vm.pins };
}

/** Replaces everything that is enforced, immutable frames and pins included: only the VMM can. */
export function restoreState(vm: HekiVmState, state: ProtectionState): boolean {
  if (vm.defects['B-H14']) return false;
  replaceState(vm, state);
  return true;
}

function replaceState(vm: HekiVmState, state: ProtectionState): void {
  vm.locks.with('slots_lock', () =>
    vm.locks.with('slots_arch_lock', () => {
      setMemoryAttributes(vm, 0, FRAME_END, 0, HEKI_ATTRIBUTE_MASK);
      for (const range of state.ranges) {
        const bits = attributesOfPermissions(rawRange(range).permissions);
        setMemoryAttributes(vm, range.start, range.end, bits, HEKI_ATTRIBUTE_MASK);
      }
      vm.permissions.setDefault(permissionsOfRights(state.otherwise));
      zapAll(vm);
    }),
  );
  setPins(vm, state.cr0, state.cr4);
  leaveProtectedNested(vm);
}
