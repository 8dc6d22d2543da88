/** One entry of a page list, as the bytes say. */
export interface Entry {
  readonly pa: bigint;
  readonly epa: bigint;
  readonly permissions: bigint;
}

/** What a chain of list pages says, in chain order, or `undefined` when something is wrong with it. */
export function decodeSlowly(
  pages: ReadonlyMap<number, Uint32Array>,
  list: bigint,
  maxPages: number,
): Entry[][] | undefined {
  const chain: Entry[][] = [];
  const visited: bigint[] = [];
  for (let address = list; address !== 0n; ) {
    const page = pages.get(Number(address >> 12n));
    if ((address & 0xfffn) !== 0n || page === undefined || visited.includes(address)) return undefined;
    if (chain.length === maxPages) return undefined;
    visited.push(address);
    const u64 = (offset: number) => {
      const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
      return view.getBigUint64(offset, true);
    };
    if (u64(16) > 169n) return undefined;
    const entries: Entry[] = [];
    for (let index = 0; index < Number(u64(16)); index++) {
      const at = 24 + index * 24;
      entries.push({ pa: u64(at), epa: u64(at + 8), permissions: u64(at + 16) });
    }
    const wrong = entries.some(
      ({ pa, epa, permissions }) =>
        pa % 4096n !== 0n ||
        epa % 4096n !== 0n ||
        pa >= epa ||
        epa > 1n << 52n ||
        permissions < 1n ||
        permissions > 15n,
    );
    if (wrong) return undefined;
    chain.push(entries);
    address = u64(8);
  }
  return chain;
}
