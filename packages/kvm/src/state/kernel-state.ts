import {
  attributesOfPermissions,
  CR4_PINNED_MASK,
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  permissionsOfAttributes,
} from '@heki/hypercall/kvm';
import {
  checkProtectionState,
  departedOf,
  grantableRights,
  type ProtectionRange,
  type ProtectionState,
} from '@heki/hypervisor';
import { FRAME_END } from '@heki/physical-memory';
import { ALL_PERMISSIONS } from '../attributes/permissions.ts';
import { permissionsOfRights, rawRange, rightsOfPermissions } from '../attributes/rights.ts';
import { setMemoryAttributes } from '../attributes/set-attributes.ts';
import { kvmCapabilities } from '../capabilities.ts';
import { setPins } from '../control-registers/control-registers.ts';
import { zapAll } from '../mmu/zap.ts';
import { leaveProtectedNested } from '../nested/nested.ts';
import type { HekiVmState } from '../vm-state.ts';
import { isAtRest, waitForRequests } from './at-rest.ts';
import { leaveAllNested, planOwn, saveOwn } from './own-state.ts';
import { restorePins, savePins } from './vcpu-pins.ts';

/** Takes all rights and pins back. @throws {VcpuWaits} while a request is under way */
export function clearState(vm: HekiVmState): void {
  waitForRequests(vm);
  vm.code?.reset();
  replaceEnforced(vm, { ranges: [], otherwise: rightsOfPermissions(ALL_PERMISSIONS), cr0: 0n, cr4: 0n });
}

/** Everything that is enforced, when nothing is half done. The series has no getter (B-H14). */
export function saveState(vm: HekiVmState): ProtectionState | undefined {
  if (vm.defects['B-H14'] || !isAtRest(vm) || vm.code?.isUnsaveable === true) return undefined;
  const ranges: ProtectionRange[] = [];
  vm.attributes.forEach(0, FRAME_END, (start, end, value) => {
    const heki = value & HEKI_ATTRIBUTE_MASK;
    if (heki === 0) return;
    const immutable = (heki & HEKI_ATTRIBUTE_IMMUTABLE) !== 0;
    ranges.push({ start, end, rights: rightsOfPermissions(permissionsOfAttributes(heki)), immutable });
  });
  const otherwise = grantableRights(kvmCapabilities(vm.options), rightsOfPermissions(vm.permissions.default));
  const departed = departedOf(vm.hostFrames);
  return { ranges, otherwise, ...vm.pins, ...savePins(vm), ...departed, own: saveOwn(vm) };
}

/**
 * Replaces everything that is enforced, immutable frames and pins included: only the VMM can.
 *
 * @throws {HypervisorError} when this machine cannot have the state; then nothing has changed
 * @throws {VcpuWaits} while a request is under way
 */
export function restoreState(vm: HekiVmState, state: ProtectionState): boolean {
  if (vm.defects['B-H14']) return false;
  const capabilities = kvmCapabilities(vm.options);
  checkProtectionState(state, { backend: 'kvm', capabilities, cr4: CR4_PINNED_MASK, endsBoot: false });
  const restoreOwn = planOwn(vm, state.own);
  waitForRequests(vm);
  leaveAllNested(vm, state.own);
  replaceEnforced(vm, state);
  restoreOwn();
  restorePins(vm, state.vcpus);
  leaveProtectedNested(vm);
  return true;
}

function replaceEnforced(vm: HekiVmState, state: ProtectionState): void {
  vm.hostFrames.replace(state.departed ?? []);
  vm.hlat?.replace([], undefined);
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
