import { Errno } from '@heki/hypercall/errno';
import { type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { upperHalfStart } from '@heki/x86';
import type { MmState } from '../mm/mm-state.ts';
import { attempt, fail, KernelStop } from '../outcome.ts';
import type { FaultState } from './fault-state.ts';

/** Runs `body`, each of whose accesses has an entry in the exception table. */
export function withFixups<Value>(kernel: FaultState, body: () => Value): Value {
  const outer = kernel.hasFixup;
  kernel.hasFixup = true;
  try {
    return body();
  } finally {
    kernel.hasFixup = outer;
  }
}

/**
 * `copy_from_kernel_nofault`: bytes from an address that may have none.
 *
 * @throws {KernelStop} -ERANGE for what is not an address of the kernel half, -EFAULT after an exception; an access that is
 * retried for ever does not come back
 */
export function copyFromKernelNofault(
  kernel: MmState & FaultState,
  address: VirtualAddress,
  length: number,
): Uint8Array {
  // copy_from_kernel_nofault_allowed
  if (virtualFrameOf(address) < upperHalfStart(kernel.layout.levels)) {
    fail(Errno.ERANGE, `0x${address.toString(16)} is not an address of the kernel`);
  }
  return checked(kernel, () => kernel.memory.load(address, length));
}

/** `copy_to_kernel_nofault`. @throws {KernelStop} -EFAULT after an exception; bytes of pages before it are stored */
export function copyToKernelNofault(
  kernel: MmState & FaultState,
  address: VirtualAddress,
  bytes: Uint8Array,
): void {
  checked(kernel, () => kernel.memory.store(address, bytes));
}

function checked<Value>(kernel: MmState & FaultState, access: () => Value): Value {
  const outcome = attempt(() => withFixups(kernel, access));
  if (outcome.kind === 'done') return outcome.value;
  if (outcome.kind === 'oops' && outcome.outcome.kind === 'exception' && outcome.outcome.fixedUp) {
    return fail(Errno.EFAULT, `0x${outcome.address.toString(16)} cannot be reached`);
  }
  throw new KernelStop(outcome);
}
