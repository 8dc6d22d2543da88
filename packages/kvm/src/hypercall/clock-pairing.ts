import { KvmError } from '@heki/hypercall/kvm';
import type { Gpa } from '@heki/physical-memory';
import { writeGuest } from '../memslots/other-writers.ts';
import type { VmState } from '../vm-state.ts';

/** KVM_CLOCK_PAIRING_WALLCLOCK. */
const WALLCLOCK = 0n;
/** sizeof(struct kvm_clock_pairing): sec, nsec and tsc, u64 each, flags u32 and 9 words of padding. */
const CLOCK_PAIRING_SIZE = 64;

/**
 * KVM_HC_CLOCK_PAIRING, hypercall 9: KVM stores 64 bytes at a guest-physical address that the guest names - a confused
 * deputy in the face of rights that only the processor heeds (B-H12). The model has no clock: it stores the number
 * of exits as the time stamp, and zeroes.
 */
export function pairClock(vm: VmState, address: bigint, clockType: bigint): number {
  if (clockType !== WALLCLOCK) return -KvmError.EOPNOTSUPP;
  if (address >= 1n << 52n) return -KvmError.EFAULT;
  const bytes = new Uint8Array(CLOCK_PAIRING_SIZE);
  new DataView(bytes.buffer).setBigUint64(16, BigInt(vm.statistics.exits), true);
  return writeGuest(vm, 'hypervisor', Number(address) as Gpa, bytes).ok ? 0 : -KvmError.EFAULT;
}
