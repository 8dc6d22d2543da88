import fc from 'fast-check';

/** Values that headers break on. */
export const edge: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    0xffffn,
    0xffffffffn,
    2n ** 31n,
    2n ** 32n,
    2n ** 52n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 0x10000n }),
);
