/** What a virtual machine did so far: plain counters that only grow. */
export interface KvmStatistics {
  /** Hypercalls by number, answered or refused; those from number 64 on together, as infinity. */
  readonly hypercalls: Map<number, number>;
  /** Ranges of hypercall 14 and of `protect`. `sent` is the sum of the others. */
  readonly ranges: {
    /** All of them. */
    sent: number;
    /** In force as asked for or weakened. */
    applied: number;
    /** Answered with success and not stored (B-H1). */
    dropped: number;
    /** In a list that was refused, and not applied. */
    refused: number;
  };
  /** Exits of virtual CPUs. */
  exits: number;
  /** Violations of the second level, of whatever cause. */
  faults: number;
  /** Leaves installed. */
  mapped: number;
  /** Times that leaves were removed. */
  zaps: number;
  /** Flushes of all virtual CPUs. */
  flushes: number;
  /** Times that every virtual CPU was stopped while code changed. */
  kicks: number;
  /** Exceptions injected for violations of rights. */
  injected: number;
  /** Writes of pinned register bits refused. */
  registerDenials: number;
  /** Accesses that guest-paging verification refused: through tables that are not the owner's. */
  verificationDenials: number;
  /** Exits of KVM_RUN to the VMM. */
  userExits: number;
  /** KVM_SET_MEMORY_ATTRIBUTES that were carried out. */
  attributeCalls: number;
  /** Events that say what a defect would have done to the host. */
  incidents: number;
}

export function createStatistics(): KvmStatistics {
  return {
    hypercalls: new Map(),
    ranges: { sent: 0, applied: 0, dropped: 0, refused: 0 },
    exits: 0,
    faults: 0,
    mapped: 0,
    zaps: 0,
    flushes: 0,
    kicks: 0,
    injected: 0,
    registerDenials: 0,
    verificationDenials: 0,
    userExits: 0,
    attributeCalls: 0,
    incidents: 0,
  };
}
