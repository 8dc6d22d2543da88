/**
 * Hypercall 14 of the mended host, page by page and as plainly as it can be said: what the fast code is held equal to.
 */
export interface ObviousHost {
  /** MEM_ATTR bits that were set, by frame; 0 where none were. */
  stored: Uint8Array;
  /** A call has succeeded with at least one range: frames without attributes are rw- from then on. */
  begun: boolean;
  /** The rights of a frame: MEM_ATTR bits. */
  permissions(frame: number): number;
  /** The answer to hypercall 14 for the list at `list`; on success the ranges are stored. */
  protect(list: bigint): number;
}

const EINVAL = -22;

/** `word(address)` is the u64 at a guest-physical address, `undefined` where no memory is. Frames below `frames` are memory. */
export function createObviousHost(
  word: (address: bigint) => bigint | undefined,
  frames: number,
  mbec: boolean,
): ObviousHost {
  function read(list: bigint): bigint[][] | number {
    const pages: bigint[][][] = [];
    const seen = new Set<bigint>();
    for (let page = list; page !== 0n; ) {
      if (page % 4096n !== 0n || seen.has(page)) return EINVAL;
      seen.add(page);
      const next = word(page + 8n);
      const count = word(page + 16n);
      if (next === undefined || count === undefined) return -14;
      if (count > 169n) return EINVAL;
      const entries: bigint[][] = [];
      for (let entry = 0n; entry < count; entry++) {
        const at = page + 24n + 24n * entry;
        entries.push([word(at) ?? 0n, word(at + 8n) ?? 0n, word(at + 16n) ?? 0n]);
      }
      pages.unshift(entries);
      page = next;
    }
    return pages.flat();
  }

  const host: ObviousHost = {
    stored: new Uint8Array(frames),
    begun: false,
    permissions: (frame) => host.stored[frame] || (host.begun ? 3 : 7),
    protect(list) {
      const entries = read(list);
      if (typeof entries === 'number') return entries;
      const after = host.stored.slice();
      for (const [pa = 0n, epa = 0n, permissions = 0n] of entries) {
        if (pa % 4096n !== 0n || epa % 4096n !== 0n) return EINVAL;
        if (permissions === 0n || permissions > 15n || permissions % 2n === 0n) return EINVAL;
        if (epa <= pa || epa > BigInt(frames) * 4096n) return EINVAL;
        const start = Number(pa / 4096n);
        const end = Number(epa / 4096n);
        for (let frame = start; frame < end; frame++) if (((after[frame] ?? 0) & 8) !== 0) return -1;
        const bits = Number(permissions) | (mbec ? 0 : 4);
        after.fill(bits, start, end);
      }
      host.stored = after;
      if (entries.length > 0) host.begun = true;
      return 0;
    },
  };
  return host;
}
