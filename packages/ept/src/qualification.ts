import { bitNames, type WordMasks, wordMasks } from '@heki/x86';

const source = 'SDM 3C 28.2.1, table 28-7';

/** The exit qualification of an EPT violation. */
export const EPT_QUALIFICATION_BITS = {
  READ: { bit: 0, meaning: 'the access was a data read', source },
  WRITE: { bit: 1, meaning: 'the access was a data write', source },
  FETCH: { bit: 2, meaning: 'the access was an instruction fetch', source },
  READABLE: { bit: 3, meaning: 'AND of R over the entries used', source },
  WRITABLE: { bit: 4, meaning: 'AND of W over the entries used', source },
  EXECUTABLE: { bit: 5, meaning: 'AND of X (under MBEC: XS) over the entries used', source },
  USER_EXECUTABLE: { bit: 6, meaning: 'AND of XU over the entries used, under MBEC', source },
  LINEAR_VALID: { bit: 7, meaning: 'the guest-linear address is valid', source },
  FINAL_ADDRESS: { bit: 8, meaning: 'the address is the translation of the linear address', source },
  USER_PAGE: { bit: 9, meaning: 'the linear address is user-mode', source },
  WRITABLE_PAGE: { bit: 10, meaning: 'the linear address is writable by guest paging', source },
  EXECUTE_DISABLE_PAGE: { bit: 11, meaning: 'the linear address is execute-disable by guest paging', source },
  NMI_UNBLOCKING: { bit: 12, meaning: 'an IRET that unblocks NMIs caused it', source },
  SHADOW_STACK: { bit: 13, meaning: 'the access was a shadow-stack access', source },
  SHADOW_STACK_PAGE: { bit: 14, meaning: 'bit 60 of the leaf, when EPTP bit 7 is 1', source },
  VERIFICATION: { bit: 15, meaning: 'guest-paging verification caused it', source },
  ASYNCHRONOUS: { bit: 16, meaning: 'the access was asynchronous to execution', source },
} as const;

/** Masks of {@link EPT_QUALIFICATION_BITS}. */
export const EptQualification: WordMasks<typeof EPT_QUALIFICATION_BITS> = wordMasks(EPT_QUALIFICATION_BITS);

/** A qualification as people read it: `0x18a: WRITE READABLE LINEAR_VALID FINAL_ADDRESS`. */
export function describeQualification(qualification: number): string {
  return `0x${qualification.toString(16)}: ${bitNames(EPT_QUALIFICATION_BITS, qualification).join(' ')}`;
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
