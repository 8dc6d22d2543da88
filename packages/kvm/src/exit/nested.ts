import { createEpt } from '@heki/ept';
import { HEKI_ATTRIBUTE_MASK } from '@heki/hypercall/kvm';
import { FRAME_END, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';
import { NestedView } from './nested-view.ts';

/** Tags what an L2 has cached, apart from L1's: no root table has an odd frame beyond all memory. */
const NESTED_ROOT = 2 ** 40 - 1;

/**
 * VMLAUNCH by a hypervisor inside the guest, with the EPTP that it wants for its L2. Whether the L2 runs.
 *
 * MBEC is off for it (the series clears the control in vmcs02), so that bit 2 of KVM's leaves decides about every fetch of an L2, its
 * user code's too. When memory is protected the mended code enters no L2: a page cannot be both.
 *
 * @throws {EptError} when VM entry would fail for this EPTP
 */
export function enterNested(vm: VmState, vcpu: Vcpu, eptp: bigint): boolean {
  if (!vm.defects['B-NESTED'] && isProtected(vm)) return false;
  const profile = vm.options.processor;
  const guestMemory = vm.memory as PhysicalMemory as PhysicalMemory<Pfn>;
  const view = new NestedView(createEpt({ memory: guestMemory, eptp, profile }), vm.tables.nestedView());
  vm.nested.set(vcpu, view);
  vcpu.useSecondLevel(view, NESTED_ROOT);
  vcpu.invept(NESTED_ROOT);
  return true;
}

/** A VM exit to L1: its own second level is in use again. */
export function leaveNested(vm: VmState, vcpu: Vcpu): void {
  if (vm.nested.delete(vcpu)) vcpu.useSecondLevel(vm.tables.view(), vm.tables.root);
}

/** The first protect call has succeeded: no L2 runs on. */
export function leaveAllNested(vm: VmState): void {
  if (vm.defects['B-NESTED']) return;
  for (const vcpu of [...vm.nested.keys()]) leaveNested(vm, vcpu);
}

/** Drops what virtual CPUs cached while they ran an L2. */
export function flushNested(vm: VmState): void {
  for (const vcpu of vm.nested.keys()) vcpu.invept(NESTED_ROOT);
}

function isProtected(vm: VmState): boolean {
  return !vm.attributes.equal(0, FRAME_END, 0, HEKI_ATTRIBUTE_MASK);
}
