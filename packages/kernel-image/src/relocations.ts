/** Places of an image that hold addresses, by their own addresses as linked: what KASLR changes when it moves it. */
export interface Relocations {
  /** Places of 64-bit addresses. */
  readonly words: Int32Array;
  /** Places of 32-bit addresses, sign-extended. */
  readonly halves: Int32Array;
  /** Places of 32-bit distances to CPUs' own variables, which do not move: less by as much (before Linux 6.15). */
  readonly inverse: Int32Array;
}

/**
 * The table that `arch/x86/tools/relocs` puts behind a vmlinux: 32-bit places, in lists that each begin with a zero. From the front those of 64-bit
 * addresses, of inverse 32-bit ones until Linux 6.14, of 32-bit ones.
 *
 * @returns `undefined` when `bytes` are not such a table
 */
export function parseRelocations(bytes: Uint8Array): Relocations | undefined {
  if (bytes.length < 8 || bytes.length % 4 !== 0) return undefined;
  const places = new Int32Array(bytes.slice().buffer);
  const zeros: number[] = [];
  for (let index = 0; index < places.length && zeros.length < 4; index++)
    if (places[index] === 0) zeros.push(index);
  if (zeros[0] !== 0) return undefined;
  // Images lie in the last 2 GiB: as signed numbers all places are below zero.
  if (places.some((place) => place > 0)) return undefined;
  const [, second, third] = zeros;
  if (second === undefined || zeros.length > 3) return undefined;
  return third === undefined
    ? { words: places.slice(1, second), inverse: new Int32Array(0), halves: places.slice(second + 1) }
    : {
        words: places.slice(1, second),
        inverse: places.slice(second + 1, third),
        halves: places.slice(third + 1),
      };
}
