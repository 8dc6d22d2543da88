import { HEKI_ATTRIBUTE_MASK } from '@heki/hypercall/kvm';
import { FRAME_END } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import {
  type CpuProfile,
  CR0,
  CR3,
  EFER,
  pagingRegisters,
  writeCr0,
  writeCr3,
  writeCr4,
  writeEfer,
} from '@heki/x86';
import { ALL_PERMISSIONS } from '../attributes/permissions.ts';
import { updateCrMasks } from '../control-registers/control-registers.ts';
import type { HekiVmState, VmState } from '../vm-state.ts';
import { createNestedView } from './create-nested-view.ts';
import {
  completeControls,
  type HostRegisters,
  type NestedControls,
  type NestedGuest,
  type NestedSetup,
} from './nested-guest.ts';

/** Tags what an L2 has cached, apart from L1's: no root table has an odd frame beyond all memory. */
const NESTED_ROOT = 2 ** 40 - 1;
const VMX_ABORT = 'a VM exit would load CR0 or CR4 without a pinned bit: VMX abort, KVM_EXIT_SHUTDOWN';

/**
 * VM entry by a hypervisor inside the guest, with the EPTP or nCR3 that it wants for its L2. Whether the L2 runs; an L2 that runs on this
 * virtual CPU already is left without another VM exit.
 *
 * MBEC is off for it (the series clears the control in vmcs02), so that bit 2 of KVM's leaves decides about every fetch of an L2, its
 * user code's too: when memory is protected the mended code enters no L2, because a page cannot be both. Nor does it enter one whose VM exit
 * would load CR0 or CR4 without a pinned bit, past every check of MOV to CR (B-NESTED).
 *
 * @throws {EptError} when VM entry would fail for this EPTP
 * @throws {HypervisorError} when nCR3 is not a physical address
 */
export function enterNested(
  vm: HekiVmState,
  vcpu: Vcpu,
  pointer: bigint,
  { controls = {}, host = {} }: NestedSetup = {},
): boolean {
  const { cr0, cr3, cr4, efer } = vm.nested.get(vcpu)?.host ?? vcpu.registers;
  const loaded = { cr0: host.cr0 ?? cr0, cr3, cr4: host.cr4 ?? cr4, efer };
  if (!isHostState(loaded, vcpu.processor)) return false;
  if (unpins(vm, loaded) || (!vm.defects['B-NESTED'] && isProtected(vm))) return false;
  const view = createNestedView(vm, pointer);
  startNested(vm, vcpu, { view, pointer, controls: completeControls(controls), host: loaded });
  return true;
}

/** nested_vmx_check_host_state(): registers that the processor can have in 64-bit mode. */
export function isHostState(host: HostRegisters, processor: CpuProfile): boolean {
  const paging = { ...pagingRegisters(), ...host };
  const long = EFER.LMA | EFER.LME;
  return (
    (host.cr0 & CR0.PG) !== 0n &&
    (host.efer & long) === long &&
    // Bit 63 asks MOV to CR3 for something, and is none of the register (SDM 3C 27.2.2).
    (host.cr3 & CR3.NO_FLUSH) === 0n &&
    writeCr0(paging, host.cr0).kind === 'ok' &&
    writeCr3(paging, host.cr3, processor).kind === 'ok' &&
    writeCr4(paging, host.cr4, processor).kind === 'ok' &&
    writeEfer(paging, host.efer, processor).kind === 'ok'
  );
}

/** Whether a VM exit that loads these registers would take a pinned bit from L1 (B-NESTED). */
function unpins({ pins, defects }: VmState, { cr0, cr4 }: HostRegisters): boolean {
  return !defects['B-NESTED'] && ((pins.cr0 & ~cr0) !== 0n || (pins.cr4 & ~cr4) !== 0n);
}

/** Puts an L2 on a virtual CPU, without a look at what is protected. */
export function startNested(vm: VmState, vcpu: Vcpu, guest: NestedGuest): void {
  vm.nested.set(vcpu, guest);
  vcpu.useSecondLevel(guest.view, NESTED_ROOT);
  vcpu.invept(NESTED_ROOT);
  setIntercepts(vm, vcpu, guest.controls);
}

/** L1's tables are found anew: slots, and with them the frames behind guest frames, have changed. */
export function renewNestedViews(vm: VmState): void {
  for (const [vcpu, guest] of vm.nested) {
    startNested(vm, vcpu, { ...guest, view: createNestedView(vm, guest.pointer) });
  }
}

/** vmcs02, vmcb02: the guest is left for what KVM wants and for what L1 wants. KVM's own share, but for control registers, is VMCALL. */
function setIntercepts(vm: VmState, vcpu: Vcpu, wanted: NestedControls): void {
  const { controls } = vcpu;
  controls.cr3LoadExiting = wanted.cr3LoadExiting;
  controls.descriptorTableExiting = wanted.descriptorTableExiting;
  controls.readExitingMsrs = wanted.readExitingMsrs;
  controls.writeExitingMsrs = wanted.writeExitingMsrs;
  controls.hypercallExiting = vcpu.processor.vendor === 'intel' || wanted.hypercallExiting;
  updateCrMasks(vm, vcpu);
}

/**
 * A VM exit to L1, which gets the control registers of the host state. One that would take away a bit that was pinned while L2 ran is a VMX
 * abort (SDM 3C 28.7): nothing is loaded, and the processor shuts down.
 */
export function leaveNested(vm: VmState, vcpu: Vcpu): void {
  const guest = vm.nested.get(vcpu);
  if (guest === undefined) return;
  const aborts = unpins(vm, guest.host);
  endNested(vm, vcpu, aborts ? {} : guest.host);
  if (aborts) vcpu.halt(VMX_ABORT);
}

/** L1 has its own second level and intercepts again, and the registers of `host`. */
export function endNested(vm: VmState, vcpu: Vcpu, host: Partial<HostRegisters> = {}): void {
  if (!vm.nested.delete(vcpu)) return;
  vcpu.useSecondLevel(vm.tables.view(), vm.tables.root);
  Object.assign(vcpu.registers, host);
  setIntercepts(vm, vcpu, completeControls({}));
}

/** Memory may be protected now: then no L2 runs on. */
export function leaveProtectedNested(vm: HekiVmState): void {
  if (vm.defects['B-NESTED'] || vm.nested.size === 0 || !isProtected(vm)) return;
  for (const vcpu of [...vm.nested.keys()]) leaveNested(vm, vcpu);
}

/** Drops what virtual CPUs cached while they ran an L2. */
export function flushNested(vm: VmState): void {
  for (const vcpu of vm.nested.keys()) vcpu.invept(NESTED_ROOT);
}

/** Whether a frame has rights of its own, those that have none have less than all, or code is sealed. */
function isProtected({ attributes, permissions, code }: HekiVmState): boolean {
  if (code?.authority.sealed === true) return true;
  return permissions.default !== ALL_PERMISSIONS || !attributes.equal(0, FRAME_END, 0, HEKI_ATTRIBUTE_MASK);
}
