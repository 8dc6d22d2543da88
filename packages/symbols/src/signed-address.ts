import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';

/**
 * A virtual address as a signed number, exact in the last 2^53 bytes of the address space, where images and modules of kernels are:
 * -2^31 is 0xffffffff80000000. Tables of 100,000 symbols are of such numbers. What is not negative is not an address of the kernel's half
 * but an absolute symbol: the offset of a variable in a CPU's area, a constant.
 */
export type SignedAddress = number;

/** One beyond the largest amount that is exact. */
const EXACT = 2 ** 53;

/** `address` as a signed number; `undefined` when it is not exact as one. */
export function signedOf(address: bigint): SignedAddress | undefined {
  const value = BigInt.asIntN(64, address);
  return value > -EXACT && value < EXACT ? Number(value) : undefined;
}

/** The virtual address that `value` stands for. */
export function addressOfSigned(value: SignedAddress): VirtualAddress {
  return virtualAddress(BigInt.asUintN(64, BigInt(value)));
}
