const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The largest machines that are made. */
export const MACHINE_LIMITS = {
  /** Bytes of RAM of a kernel that boots, at least: its image and its tables need that much. */
  leastMemory: 64 * MIB,
  /** And at most: a life ends with a look at every page. */
  mostMemory: 256 * GIB,
  /** Virtual CPUs of a kernel that boots. */
  vcpus: 64,
  /** Instructions of one attack: the record of each is kept. */
  attackInstructions: 100_000,
  /** Slots of guest memory: KVM_USER_MEM_SLOTS. No other hypervisor here has a limit. */
  memorySlots: 32_764,
  /** Separate ranges of RAM around a snapshot: one slot is for the memory that is added for page lists. */
  memoryRanges: 32_763,
} as const;
