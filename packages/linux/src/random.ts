/** Seeded random numbers: the same seed gives the same kernel. */
export interface Random {
  /** An integer from 0 to `limit` - 1, `limit` at most 2^52. */
  below(limit: number): number;
}

/** A generator after Marsaglia's xorshift32, with its seed mixed so that small seeds differ from the first draw on. */
export function createRandom(seed: number): Random {
  let state = Math.imul((seed ^ 0x9e37_79b9) >>> 0, 0x85eb_ca6b) ^ 0xc2b2_ae35 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    below(limit) {
      const high = next() >>> 12;
      return Math.floor(((high * 2 ** 32 + next()) / 2 ** 52) * limit);
    },
  };
}
