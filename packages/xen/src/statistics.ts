/** What a domain did so far: plain counters that only grow. */
export interface XenStatistics {
  /** Exits of virtual CPUs. */
  exits: number;
  /** Hypercalls of the guest. */
  hypercalls: number;
  /** Requests put into the ring. */
  events: number;
  /** Times that a virtual CPU had to wait for room in the ring or for a reply. */
  pauses: number;
  /** Replies, or indexes of the ring, that make no sense and were ignored. */
  badReplies: number;
  /** Pages whose access type was set, counted one by one as Xen does them. */
  pages: number;
  /** Flushes of all virtual CPUs. */
  flushes: number;
}

export function createStatistics(): XenStatistics {
  return { exits: 0, hypercalls: 0, events: 0, pauses: 0, badReplies: 0, pages: 0, flushes: 0 };
}
