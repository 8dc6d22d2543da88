import {
  CR0_PIN_REQUIRED,
  CR4_PINNED_MASK,
  encodeHekiExit,
  HEKI_ABI_VERSION,
  KVM_HEKI_EXIT_REASON_CR0,
  KVM_HEKI_EXIT_REASON_CR4,
  KvmError,
  LOCK_CR_UPDATE_VERSION,
} from '@heki/hypercall/kvm';
import type { PinRequest, PinResult } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import type { UserExit } from '../exit/vmm.ts';
import type { HekiVmState, VmState } from '../vm-state.ts';
import { setPins } from './control-registers.ts';

const TWO_TO_32 = 1n << 32n;

/** What hypercall 13 answers, and the exit to the VMM that follows a pin. */
export interface LockCrResult {
  readonly result: number;
  readonly userExit?: UserExit;
}

/** What hypercall 13 asks for: an answer that needs no decision, or bits that may be pinned. */
export type LockCrRequest = { readonly result: number } | { readonly register: 0 | 4; readonly bits: bigint };

/** Reads the arguments of hypercall 13. */
export function readLockCr(vm: VmState, vcpu: Vcpu, cr: bigint, pin: bigint, flags: bigint): LockCrRequest {
  if (cr >= TWO_TO_32) return { result: -KvmError.EINVAL };
  if (flags !== 0n) {
    const version = flags === BigInt(LOCK_CR_UPDATE_VERSION) && cr === 0n && pin === 0n;
    return { result: version ? HEKI_ABI_VERSION : -KvmError.EINVAL };
  }
  const register = cr === 0n ? 0 : cr === 4n ? 4 : undefined;
  if (register === undefined) return { result: -KvmError.EINVAL };
  const own = register === 0 ? vcpu.registers.cr0 : vcpu.registers.cr4;
  const bits = pinnableBits(vm, register, pin, own);
  return bits === undefined ? { result: -KvmError.EINVAL } : { register, bits };
}

/** heki_lock_cr(), hypercall 13: asks for the version, or pins bits of CR0 or CR4 (Heki v2 2/19, 3/19). */
export function lockCr(vm: HekiVmState, vcpu: Vcpu, cr: bigint, pin: bigint, flags: bigint): LockCrResult {
  const request = readLockCr(vm, vcpu, cr, pin, flags);
  if ('result' in request) return request;
  const { register, bits } = request;
  pinBits(vm, register, bits);
  vm.emit?.({ type: 'pinned', by: 'guest', result: pinResult(vm, register, pin & ~bits) });

  const reason = register === 0 ? KVM_HEKI_EXIT_REASON_CR0 : KVM_HEKI_EXIT_REASON_CR4;
  if ((vm.exitReasons.configure & reason) === 0) return { result: 0 };
  const payload = encodeHekiExit({ reason: BigInt(reason), value: bits });
  const number = vm.options.abi.exits.HEKI_CONFIGURE ?? 0;
  return { result: 0, userExit: { reason: 'heki-configure', number, cr: register, pinned: bits, payload } };
}

/**
 * The bits that a request may pin, or `undefined` when it is refused. The series compares with the host's registers
 * and drops CR4 bits that the host lacks (B-H20); otherwise the guest's `own` register must have every bit.
 */
function pinnableBits(vm: VmState, cr: 0 | 4, pin: bigint, own: bigint): bigint | undefined {
  if (pin === 0n) return undefined;
  if (cr === 0 && (pin & CR0_PIN_REQUIRED) === 0n) return undefined;
  if (cr === 4 && (pin & ~CR4_PINNED_MASK) !== 0n) return undefined;
  if (!vm.defects['B-H20']) return (pin & ~own) === 0n ? pin : undefined;
  if (cr === 0) return (pin & ~vm.options.hostCr0) === 0n ? pin : undefined;
  return pin & vm.options.hostCr4;
}

/** Adds bits to the pins of the VM. Nothing that a guest can do takes them away. */
function pinBits(vm: VmState, cr: 0 | 4, bits: bigint): void {
  setPins(vm, vm.pins.cr0 | (cr === 0 ? bits : 0n), vm.pins.cr4 | (cr === 4 ? bits : 0n));
}

/** The contract's account of a request that was granted but for `dropped`. */
function pinResult(vm: VmState, cr: 0 | 4, dropped: bigint): PinResult {
  return { ...vm.pins, dropped: { cr0: cr === 0 ? dropped : 0n, cr4: cr === 4 ? dropped : 0n } };
}

/** The bits of a request from outside the guest that can be pinned at all, and the rest. */
export function pinnableOf({ cr0 = 0n, cr4 = 0n, registers }: PinRequest): {
  readonly cr0: bigint;
  readonly cr4: bigint;
  readonly dropped: PinResult['dropped'];
} {
  return {
    cr0: cr0 & CR0_PIN_REQUIRED,
    cr4: cr4 & CR4_PINNED_MASK,
    dropped: {
      registers,
      cr0: cr0 & ~CR0_PIN_REQUIRED,
      cr4: cr4 & ~CR4_PINNED_MASK,
    },
  };
}

/** The VMM pins bits by itself. Nothing is looked at but what can be pinned at all. */
export function pinFromHost(vm: VmState, wanted: PinRequest): PinResult {
  const { cr0, cr4, dropped } = pinnableOf(wanted);
  setPins(vm, vm.pins.cr0 | cr0, vm.pins.cr4 | cr4);
  const result: PinResult = { ...vm.pins, dropped };
  vm.emit?.({ type: 'pinned', by: 'vmm', result });
  return result;
}
