/** Numbers that are the same for the same seed (mulberry32). */
export interface Random {
  /** 0 .. `below` - 1. */
  nat(below: number): number;
  of<Value>(values: readonly [Value, ...Value[]]): Value;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const nat = (below: number): number => Math.floor(next() * below);
  return { nat, of: (values) => values[nat(values.length)] ?? values[0] };
}
