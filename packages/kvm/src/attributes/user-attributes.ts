import { Errno } from '@heki/hypercall/errno';
import type { VmState } from '../vm-state.ts';
import { setMemoryAttributes } from './set-attributes.ts';

/** `struct kvm_memory_attributes`, the argument of KVM_SET_MEMORY_ATTRIBUTES: four u64. */
export interface MemoryAttributes {
  readonly address: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly attributes: bigint;
  readonly flags: bigint;
}

const TWO_TO_64 = 1n << 64n;

/** KVM_SET_MEMORY_ATTRIBUTES: 0 or -EINVAL. The whole range or nothing. */
export function userSetMemoryAttributes(vm: VmState, request: MemoryAttributes): number {
  const { address, size, attributes, flags } = request;
  const supported = vm.owner.userAttributes;
  if (
    flags !== 0n ||
    (attributes & ~BigInt(supported)) !== 0n ||
    !vm.owner.isLegal(Number(attributes)) ||
    size === 0n ||
    address + size >= TWO_TO_64 ||
    address % 0x1000n !== 0n ||
    size % 0x1000n !== 0n
  ) {
    return -Errno.EINVAL;
  }
  const end = (address + size) >> 12n;
  // The store has the frames that a processor can address; the others can hold nothing that anybody could see.
  if (end > 1n << 40n) return -Errno.EINVAL;
  const start = Number(address >> 12n);
  vm.locks.with('slots_lock', () =>
    vm.locks.with('slots_arch_lock', () =>
      setMemoryAttributes(vm, start, Number(end), Number(attributes), supported),
    ),
  );
  vm.statistics.attributeCalls++;
  vm.emit?.({ type: 'attributes-set', start, end: Number(end), attributes: Number(attributes) });
  return 0;
}
