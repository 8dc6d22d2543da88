/** What a partition did so far: plain counters that only grow. */
export interface HypervStatistics {
  /** Exits of virtual processors out of VTL0. */
  exits: number;
  /** Hypercalls of both VTLs. */
  hypercalls: number;
  /** Entries of VTL1 by VTL call. */
  vtlCalls: number;
  /** Entries of VTL1 by intercept. */
  intercepts: number;
  /** Pages whose protection was set, one by one as the hypercall lists them. */
  pages: number;
  /** Flushes of all virtual processors. */
  flushes: number;
}

export function createStatistics(): HypervStatistics {
  return { exits: 0, hypercalls: 0, vtlCalls: 0, intercepts: 0, pages: 0, flushes: 0 };
}
