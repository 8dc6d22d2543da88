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
  protect(list: number): number;
}

const EINVAL = -22;

/**
 * `word(address)` is the u64 at a guest-physical address (rounded above 2^53, where every value is refused anyway),
 * `undefined` where no memory is. Frames below `frames` are memory.
 */
export function createObviousHost(
  word: (address: number) => number | undefined,
  frames: number,
  mbec: boolean,
): ObviousHost {
  function read(list: number): number[][] | number {
    const pages: number[][][] = [];
    const seen = new Set<number>();
    for (let page = list; page !== 0; ) {
      if (page % 4096 !== 0 || seen.has(page)) return EINVAL;
      seen.add(page);
      const next = word(page + 8);
      const count = word(page + 16);
      if (next === undefined || count === undefined) return -14;
      if (count > 169) return EINVAL;
      const entries: number[][] = [];
      for (let entry = 0; entry < count; entry++) {
        const at = page + 24 + 24 * entry;
        entries.push([word(at) ?? 0, word(at + 8) ?? 0, word(at + 16) ?? 0]);
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
      for (const [pa = 0, epa = 0, permissions = 0] of entries) {
        if (pa % 4096 !== 0 || epa % 4096 !== 0) return EINVAL;
        if (permissions === 0 || permissions > 15 || permissions % 2 === 0) return EINVAL;
        if (epa <= pa || epa > frames * 4096) return EINVAL;
        const start = pa / 4096;
        const end = epa / 4096;
        for (let frame = start; frame < end; frame++) if (((after[frame] ?? 0) & 8) !== 0) return -1;
        after.fill(permissions | (mbec ? 0 : 4), start, end);
      }
      host.stored = after;
      if (entries.length > 0) host.begun = true;
      return 0;
    },
  };
  return host;
}
