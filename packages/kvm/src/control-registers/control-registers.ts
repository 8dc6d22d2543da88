import { encodeHekiExit, KVM_HEKI_EXIT_REASON_CR0, KVM_HEKI_EXIT_REASON_CR4 } from '@heki/hypercall/kvm';
import { type ExitAction, type Vcpu, Vector } from '@heki/vcpu';
import { CR0, CR4 } from '@heki/x86';
import type { UserExit } from '../exit/vmm.ts';
import { yieldAt } from '../host/yield.ts';
import type { HekiVmState, VmState } from '../vm-state.ts';
import type { PinBinding } from './pin-binding.ts';

/** CR0 bits that the guest owns when EPT is on: KVM_POSSIBLE_CR0_GUEST_BITS since Linux 6.4. */
const CR0_GUEST_OWNED: bigint = CR0.TS | CR0.WP;
/** KVM_POSSIBLE_CR4_GUEST_BITS. */
const CR4_GUEST_OWNED: bigint =
  CR4.PVI | CR4.DE | CR4.PCE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.PGE | CR4.TSD | CR4.FSGSBASE;

const ALL_BITS = 0xffff_ffff_ffff_ffffn;

/** #GP(0). */
export const GENERAL_PROTECTION = { vector: Vector.GP, errorCode: 0 } as const;

/** What a refused register write leads to. */
export interface CrDenial {
  readonly action: ExitAction;
  /** KVM_RUN returns with this first. */
  readonly userExit: UserExit | undefined;
}

/** KVM's own intercepts: AMD has no masks, and there every change of CR0 but of TS and MP exits. */
const SVM_INTERCEPTS = { cr0Write: false, cr0Selective: true, cr4Write: true } as const;

/**
 * Sets which writes of CR0 and CR4 exit and what the guest reads: it owns some bits (SDM 3C 25.6.6), and the series leaves pinned ones
 * with it (B-H13). For an L2 the hypervisor in L1 takes bits of its own, and its shadows are what L2 reads there (prepare_vmcs02).
 */
export function updateCrMasks(vm: VmState, vcpu: Vcpu): void {
  const { controls, registers } = vcpu;
  const nested = vm.nested.get(vcpu)?.controls;
  if (vm.options.processor.vendor === 'amd') {
    const { cr0Write = false, cr0Selective = false, cr4Write = false } = nested?.svm ?? {};
    controls.svm = {
      cr0Write: SVM_INTERCEPTS.cr0Write || cr0Write,
      cr0Selective: SVM_INTERCEPTS.cr0Selective || cr0Selective,
      cr4Write: SVM_INTERCEPTS.cr4Write || cr4Write,
    };
    return;
  }
  const pinned = vm.defects['B-H13'] ? { cr0: 0n, cr4: 0n } : vm.pins;
  const { cr0Mask = 0n, cr0Shadow = 0n, cr4Mask = 0n, cr4Shadow = 0n } = nested ?? {};
  controls.cr0Mask = (ALL_BITS & ~(CR0_GUEST_OWNED & ~pinned.cr0)) | cr0Mask;
  controls.cr4Mask = (ALL_BITS & ~(CR4_GUEST_OWNED & ~pinned.cr4)) | cr4Mask;
  controls.cr0Shadow = (registers.cr0 & ~cr0Mask) | (cr0Shadow & cr0Mask);
  controls.cr4Shadow = (registers.cr4 & ~cr4Mask) | (cr4Shadow & cr4Mask);
}

/**
 * Sets the pinned bits of the VM, and what exits for them on every virtual CPU. Bits that are new bind each virtual CPU that holds them,
 * however it came to: the VMM may have given registers to one that INIT has unbound (KVM_SET_SREGS).
 */
export function setPins(vm: VmState, cr0: bigint, cr4: bigint): void {
  const isNew = { cr0: (cr0 & ~vm.pins.cr0) !== 0n, cr4: (cr4 & ~vm.pins.cr4) !== 0n };
  vm.pins.cr0 = cr0;
  vm.pins.cr4 = cr4;
  for (const vcpu of vm.vcpus) {
    yieldAt(vm, 'attribute-change');
    const binding = vm.bindings.get(vcpu.id);
    const held = vm.nested.get(vcpu)?.host ?? vcpu.registers;
    if (binding !== undefined) {
      binding.cr0 ||= isNew.cr0 && (held.cr0 & cr0) === cr0;
      binding.cr4 ||= isNew.cr4 && (held.cr4 & cr4) === cr4;
    }
    updateCrMasks(vm, vcpu);
  }
}

/** heki_check_cr(): why a write of CR0 or CR4 must be refused, or `undefined`. */
export function checkPins(
  vm: HekiVmState,
  vcpu: Vcpu,
  binding: PinBinding,
  cr: 0 | 4,
  value: bigint,
): CrDenial | undefined {
  // The pins are of L1's registers; the series looks at an L2's as well.
  if (vm.nested.has(vcpu) && !vm.defects['B-NESTED']) return undefined;
  if (!breaksPin(vm, binding, cr, value) && !changesLevels(vm, vcpu, cr, value)) return undefined;
  vm.log.limited(`CR${cr}`, () => `heki: Blocked CR${cr} update: 0x${value.toString(16)}`);
  vm.statistics.registerDenials++;
  vm.emit?.({
    type: 'denied',
    vcpu: vcpu.id,
    denial: {
      kind: 'register',
      register: `cr${cr}`,
      old: cr === 0 ? vcpu.registers.cr0 : vcpu.registers.cr4,
      value,
    },
    verdict: 'general-protection',
  });
  vm.emit?.({ type: 'injected', vcpu: vcpu.id, exception: GENERAL_PROTECTION, because: 'pin' });
  const reason = cr === 0 ? KVM_HEKI_EXIT_REASON_CR0 : KVM_HEKI_EXIT_REASON_CR4;
  const number = vm.options.abi.exits.HEKI_DENIAL ?? 0;
  return {
    action: { kind: 'inject', exception: GENERAL_PROTECTION },
    userExit:
      (vm.exitReasons.denial & reason) === 0
        ? undefined
        : {
            reason: 'heki-denial',
            number,
            cr,
            value,
            payload: encodeHekiExit({ reason: BigInt(reason), value }),
          },
  };
}

/** Whether a write of CR0 or CR4 would clear a pinned bit on a virtual CPU that is bound. */
export function breaksPin(vm: VmState, binding: PinBinding, cr: 0 | 4, value: bigint): boolean {
  const pinned = cr === 0 ? vm.pins.cr0 : vm.pins.cr4;
  if ((value & pinned) === pinned) return false;
  return vm.defects['B-H14'] || isBound(binding, cr, value);
}

/**
 * Whether a virtual CPU would walk the owner's HLAT tables, which have a number of levels, with another number: with 4 levels of 5 they would
 * list nothing. LA57 cannot change while paging is on (SDM 3A 2.5), but paging can be left and entered again.
 */
function changesLevels({ hlat }: VmState, { registers }: Vcpu, cr: 0 | 4, value: bigint): boolean {
  if (hlat?.levels === undefined) return false;
  const cr0 = cr === 0 ? value : registers.cr0;
  const cr4 = cr === 4 ? value : registers.cr4;
  return (cr0 & CR0.PG) !== 0n && ((cr4 & CR4.LA57) !== 0n) !== (hlat.levels === 5);
}

/** Whether a processor that took INIT is bound again: CR0 from when paging is on, CR4 once it met its pins. */
function isBound(binding: PinBinding, cr: 0 | 4, value: bigint): boolean {
  return cr === 0 ? binding.cr0 || (value & CR0.PG) !== 0n : binding.cr4;
}

/**
 * Carries out a MOV to CR0, CR3 or CR4 that exited: kvm_set_cr0() and its like. RIP moves only if it succeeds. Of an L2's CR0 and CR4 the
 * bits that L1 owns keep what L1 gave them (handle_set_cr0).
 */
export function writeCr(
  vm: VmState,
  vcpu: Vcpu,
  binding: PinBinding,
  cr: 0 | 3 | 4,
  source: bigint,
): ExitAction {
  const { registers } = vcpu;
  const { cr0Mask = 0n, cr4Mask = 0n } = vm.nested.get(vcpu)?.controls ?? {};
  const owned = cr === 0 ? cr0Mask : cr === 4 ? cr4Mask : 0n;
  const value = (source & ~owned) | (registers[`cr${cr}`] & owned);
  const exception = vcpu.emulateMovToCr(cr, value);
  if (exception !== undefined) return { kind: 'inject', exception };
  if (cr !== 3) {
    if (vm.nested.has(vcpu)) {
      updateCrMasks(vm, vcpu);
      return { kind: 'skip' };
    }
    if (cr === 0 && (value & vm.pins.cr0) === vm.pins.cr0) binding.cr0 = true;
    if (cr === 4 && (value & vm.pins.cr4) === vm.pins.cr4) binding.cr4 = true;
    updateCrMasks(vm, vcpu);
  }
  return { kind: 'skip' };
}
