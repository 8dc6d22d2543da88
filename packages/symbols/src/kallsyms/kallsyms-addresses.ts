import type { SignedAddress } from '../signed-address.ts';

/** What the numbers of `kallsyms_offsets` count from: an address, or each from its own place. */
export type OffsetBase = { readonly base: SignedAddress } | { readonly placedAt: SignedAddress };

/** The most symbols in a thousand that may be out of order: somebody may have changed some. */
const MOST_OUT_OF_ORDER = 0.001;

/**
 * The addresses of symbols, in order; `undefined` when they do not ascend, as those of kallsyms do.
 *
 * With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (x86-64 until 6.14) a number from 0 on is the symbol's own value, and one below 0 counts
 * down from one before the base. Without it none is below 0: no image has 2 GiB.
 */
export function kallsymsAddresses(offsets: Int32Array, from: OffsetBase): Float64Array | undefined {
  const addresses = new Float64Array(offsets.length);
  if ('placedAt' in from) {
    for (let index = 0; index < offsets.length; index++) {
      addresses[index] = from.placedAt + 4 * index + (offsets[index] ?? 0);
    }
  } else {
    const { base } = from;
    const hasAbsolute = offsets.some((offset) => offset < 0);
    for (let index = 0; index < offsets.length; index++) {
      const offset = offsets[index] ?? 0;
      if (hasAbsolute) addresses[index] = offset < 0 ? base - 1 - offset : offset;
      else addresses[index] = base + offset;
    }
  }
  return isAscending(addresses) ? addresses : undefined;
}

/** As unsigned addresses ascend: absolute symbols first, then the kernel's half. */
function isAscending(addresses: Float64Array): boolean {
  let outOfOrder = 0;
  let isOfKernel = 0;
  let last = Number.NEGATIVE_INFINITY;
  for (const address of addresses) {
    if (address >= 0) {
      // Behind the kernel's half nothing comes.
      if (isOfKernel > 0) outOfOrder++;
      continue;
    }
    isOfKernel++;
    if (address < last) outOfOrder++;
    last = address;
  }
  return isOfKernel > addresses.length / 2 && outOfOrder <= addresses.length * MOST_OUT_OF_ORDER;
}
