/**
 * The exit qualification of an EPT violation (SDM 3C 28.2.1, table 28-7): one row a bit, in ascending order. Every
 * flag, printer and page of documentation comes from this table.
 */
export const EPT_QUALIFICATION_BITS = [
  { bit: 0, name: 'data read', meaning: 'the access was a data read' },
  { bit: 1, name: 'data write', meaning: 'the access was a data write' },
  { bit: 2, name: 'fetch', meaning: 'the access was an instruction fetch' },
  { bit: 3, name: 'readable', meaning: 'AND of R over the entries used' },
  { bit: 4, name: 'writable', meaning: 'AND of W over the entries used' },
  { bit: 5, name: 'executable', meaning: 'AND of X (with MBEC: XS) over the entries used' },
  { bit: 6, name: 'user-executable', meaning: 'AND of XU over the entries used, with MBEC' },
  { bit: 7, name: 'linear address valid', meaning: 'the guest-linear address field is valid' },
  { bit: 8, name: 'final address', meaning: 'the address is the translation of the linear address' },
  { bit: 9, name: 'user page', meaning: 'the linear address is user-mode' },
  { bit: 10, name: 'writable page', meaning: 'the linear address is writable at the first level' },
  {
    bit: 11,
    name: 'execute-disabled page',
    meaning: 'the linear address is execute-disable at the first level',
  },
  { bit: 12, name: 'NMI unblocking', meaning: 'an IRET that unblocks NMIs caused it' },
  { bit: 13, name: 'shadow stack', meaning: 'the access was a shadow-stack access' },
  { bit: 14, name: 'shadow-stack page', meaning: 'bit 60 of the leaf, when EPTP[7] is set' },
  { bit: 15, name: 'guest-paging verification', meaning: 'guest-paging verification caused it' },
  { bit: 16, name: 'asynchronous', meaning: 'the access was asynchronous to execution (trace output, PEBS)' },
] as const;

/** The bits of an exit qualification, as masks. */
export const EptQualification = {
  READ: 1 << 0,
  WRITE: 1 << 1,
  FETCH: 1 << 2,
  READABLE: 1 << 3,
  WRITABLE: 1 << 4,
  EXECUTABLE: 1 << 5,
  USER_EXECUTABLE: 1 << 6,
  LINEAR_VALID: 1 << 7,
  FINAL_ADDRESS: 1 << 8,
  USER_PAGE: 1 << 9,
  WRITABLE_PAGE: 1 << 10,
  EXECUTE_DISABLE_PAGE: 1 << 11,
  NMI_UNBLOCKING: 1 << 12,
  SHADOW_STACK: 1 << 13,
  SHADOW_STACK_PAGE: 1 << 14,
  GUEST_PAGING_VERIFICATION: 1 << 15,
  ASYNCHRONOUS: 1 << 16,
} as const;

/** The names of the bits set in `qualification`, in ascending order: `['data write', 'readable', ...]`. */
export function describeQualification(qualification: number): string[] {
  return EPT_QUALIFICATION_BITS.filter(({ bit }) => (qualification & (1 << bit)) !== 0).map(
    ({ name }) => name,
  );
}

/**
 * Circumstances of an access that only EPT reports: to be ORed to the `SecondLevelAccess` bits of the port, which
 * leaves these free.
 */
export const EptAccess = {
  /** An IRET that unblocks NMIs makes the access. */
  NMI_UNBLOCKING: 1 << 24,
  /** Trace output, PEBS or user-interrupt delivery makes the access. */
  ASYNCHRONOUS: 1 << 25,
} as const;
