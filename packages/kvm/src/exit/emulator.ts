import type { Gpa } from '@heki/physical-memory';
import { type Exception, type Vcpu, Vector } from '@heki/vcpu';
import { checkPins, GENERAL_PROTECTION, writeCr } from '../control-registers/control-registers.ts';
import type { PinBinding } from '../control-registers/pin-binding.ts';
import { writeGuest } from '../memslots/other-writers.ts';
import type { HekiVmState, VmState } from '../vm-state.ts';
import { notifyVmm } from './user-exit.ts';

/** What the instruction emulator made of an instruction. */
export type EmulationResult =
  /** It completed. */
  | { readonly kind: 'completed' }
  /** It completed for the guest, and an exception arrives behind it (B-H15). */
  | { readonly kind: 'completed-then'; readonly exception: Exception }
  /** It did not complete, and this exception is delivered at it. */
  | { readonly kind: 'exception'; readonly exception: Exception };

/** #DF: two contributory exceptions in a row (SDM 3A table 6-5). */
const DOUBLE_FAULT = { vector: Vector.DF, errorCode: 0 } as const;

/**
 * The emulator's MOV to a control register. The series checks the pins here too, but raises #GP by itself and returns
 * a value for which the emulator raises it again, or, after an exit to the VMM, one that means success (B-H15).
 */
export function emulateMovToCr(
  vm: HekiVmState,
  vcpu: Vcpu,
  binding: PinBinding,
  cr: 0 | 3 | 4,
  value: bigint,
): EmulationResult {
  const denial = cr === 3 ? undefined : checkPins(vm, vcpu, binding, cr, value);
  if (denial !== undefined) {
    if (denial.userExit !== undefined) notifyVmm(vm, vcpu, denial.userExit);
    if (!vm.defects['B-H15']) return { kind: 'exception', exception: GENERAL_PROTECTION };
    return denial.userExit === undefined
      ? { kind: 'exception', exception: DOUBLE_FAULT }
      : { kind: 'completed-then', exception: GENERAL_PROTECTION };
  }
  const action = writeCr(vm, vcpu, binding, cr, value);
  return action.kind === 'inject'
    ? { kind: 'exception', exception: action.exception }
    : { kind: 'completed' };
}

/** The emulator's store to guest memory goes through the host mapping (B-H12): a write that the rights forbid is #PF. */
export function emulateStore(vm: VmState, vcpu: Vcpu, gpa: Gpa, bytes: Uint8Array): EmulationResult {
  const written = writeGuest(vm, 'hypervisor', gpa, bytes);
  if (written.ok || written.why === 'not-memory') return { kind: 'completed' };
  vm.emit?.({
    type: 'denied',
    vcpu: vcpu.id,
    denial: { kind: 'memory', gpa: written.at, linear: undefined, access: 'write' },
    verdict: 'general-protection',
  });
  return { kind: 'exception', exception: GENERAL_PROTECTION };
}
