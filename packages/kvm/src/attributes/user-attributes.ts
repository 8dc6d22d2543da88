import { KVM_MEMORY_ATTRIBUTE_PRIVATE } from '@heki/hypercall/kvm';
import { Errno } from '../host/errno.ts';
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

/** The attributes that user space may set: PRIVATE in a VM that has private memory, else none. Never Heki's. */
export function supportedAttributes(vm: VmState): number {
  return vm.options.privateMemory ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

/** KVM_SET_MEMORY_ATTRIBUTES: 0 or -EINVAL. The whole range or nothing. */
export function userSetMemoryAttributes(vm: VmState, request: MemoryAttributes): number {
  const { address, size, attributes, flags } = request;
  const supported = supportedAttributes(vm);
  if (
    flags !== 0n ||
    (attributes & ~BigInt(supported)) !== 0n ||
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
  vm.locks.with('slots_lock', () =>
    vm.locks.with('slots_arch_lock', () =>
      setMemoryAttributes(vm, Number(address >> 12n), Number(end), Number(attributes), supported),
    ),
  );
  return 0;
}
