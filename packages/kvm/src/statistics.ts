/** What a virtual machine did so far: plain counters that only grow. */
export interface KvmStatistics {
  /** Hypercalls by number, answered or refused. */
  readonly hypercalls: Map<number, number>;
  /** Ranges of hypercall 14. `sent` is the sum of the others. */
  readonly ranges: {
    sent: number;
    /** In force as asked for or weakened. */
    applied: number;
    /** Answered with success and not stored (B-H1). */
    dropped: number;
    /** In a list that was refused, and not applied. */
    refused: number;
  };
  /** Violations of the second level, of whatever cause. */
  faults: number;
  /** Leaves installed. */
  mapped: number;
  /** Leaves removed. */
  zapped: number;
  /** Flushes of all virtual CPUs. */
  flushes: number;
  /** Exceptions injected for violations of rights. */
  injected: number;
  /** Writes of pinned register bits refused. */
  registerDenials: number;
  /** Exits of KVM_RUN to the VMM. */
  userExits: number;
}

export function createStatistics(): KvmStatistics {
  return {
    hypercalls: new Map(),
    ranges: { sent: 0, applied: 0, dropped: 0, refused: 0 },
    faults: 0,
    mapped: 0,
    zapped: 0,
    flushes: 0,
    injected: 0,
    registerDenials: 0,
    userExits: 0,
  };
}
