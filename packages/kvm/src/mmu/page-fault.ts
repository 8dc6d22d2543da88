import { EptQualification } from '@heki/ept';
import type { MemoryAccess } from '@heki/hypervisor';
import type { Gpa, VirtualAddress } from '@heki/physical-memory';
import type { EmulatedAccess, VmExit } from '@heki/vcpu';

/** PFERR_* bits of KVM's error code below bit 32 (SDM 3A 4.7). */
const PfErr = { PRESENT: 1 << 0, WRITE: 1 << 1, USER: 1 << 2, RSVD: 1 << 3, FETCH: 1 << 4 } as const;
/** PFERR_GUEST_FINAL: the address is the translation of the linear address, bit 32. */
const PFERR_GUEST_FINAL: number = 2 ** 32;
/** PFERR_GUEST_PAGE: the address is that of a guest page-table entry, bit 33. */
const PFERR_GUEST_PAGE: number = 2 ** 33;

/** A fault of the second level, as KVM's MMU is handed it. */
export interface GuestFault {
  readonly gpa: Gpa;
  /** {@link PfErr} bits, {@link PFERR_GUEST_FINAL} and {@link PFERR_GUEST_PAGE}. */
  readonly errorCode: number;
  /** A leaf was there and refused. */
  readonly present: boolean;
  readonly write: boolean;
  readonly fetch: boolean;
  /** Where the hardware gives it, or KVM finds it out. */
  readonly linear: VirtualAddress | undefined;
  readonly access: MemoryAccess;
}

type Exit<Reason extends VmExit['reason']> = Extract<VmExit, { reason: Reason }>;

/**
 * handle_ept_violation(). Bit 2 of the error code, USER elsewhere, says that a *read* was wanted, and so a
 * read-modify-write and the processor's use of a guest page table look like user accesses.
 */
export function faultOfEptViolation(exit: Exit<'ept-violation'>, accessedDirty: boolean): GuestFault {
  const { qualification, gpa, gla } = exit;
  const Q = EptQualification;
  const has = (mask: number): boolean => (qualification & mask) !== 0;
  const low =
    (has(Q.READ) ? PfErr.USER : 0) |
    (has(Q.WRITE) ? PfErr.WRITE : 0) |
    (has(Q.FETCH) ? PfErr.FETCH : 0) |
    (has(Q.READABLE | Q.WRITABLE | Q.EXECUTABLE) ? PfErr.PRESENT : 0);
  const final = has(Q.FINAL_ADDRESS);
  return {
    gpa,
    errorCode: low + (has(Q.LINEAR_VALID) ? (final ? PFERR_GUEST_FINAL : PFERR_GUEST_PAGE) : 0),
    present: (low & PfErr.PRESENT) !== 0,
    write: has(Q.WRITE),
    fetch: has(Q.FETCH),
    linear: has(Q.LINEAR_VALID) ? gla : undefined,
    access: has(Q.FETCH)
      ? has(Q.USER_PAGE)
        ? 'user-execute'
        : 'supervisor-execute'
      : !final && has(Q.LINEAR_VALID)
        ? // With EPT accessed and dirty flags every use of a guest page table counts as a write (SDM 3C 29.3.5).
          has(Q.WRITE) && !accessedDirty
          ? 'page-walk-update'
          : 'page-walk'
        : has(Q.WRITE)
          ? 'write'
          : 'read',
  };
}

/** What the emulator is refused, as an access of the processor would be. */
export function faultOfEmulatedAccess(
  { gpa, linear, kind }: EmulatedAccess,
  access: MemoryAccess,
): GuestFault {
  const write = kind === 'write';
  const fetch = kind === 'fetch';
  const low = PfErr.PRESENT | (write ? PfErr.WRITE : 0) | (fetch ? PfErr.FETCH : 0);
  return { gpa, errorCode: low + PFERR_GUEST_FINAL, present: true, write, fetch, linear, access };
}

/**
 * npf_interception(): EXITINFO1 is the error code as it stands. `user`: CPL 3, which the processor does not say; `linear`: what KVM found
 * out about the linear address.
 */
export function faultOfNestedPageFault(
  exit: Exit<'nested-page-fault'>,
  user: boolean,
  linear: VirtualAddress | undefined,
): GuestFault {
  const low = Number(exit.info1 & 0xffff_ffffn);
  const page = (exit.info1 & (1n << 33n)) !== 0n;
  const fetch = (low & PfErr.FETCH) !== 0;
  const write = (low & PfErr.WRITE) !== 0;
  return {
    gpa: exit.gpa,
    errorCode: low + (page ? PFERR_GUEST_PAGE : PFERR_GUEST_FINAL),
    present: (low & PfErr.PRESENT) !== 0,
    write,
    fetch,
    linear,
    access: page
      ? 'page-walk'
      : fetch
        ? user
          ? 'user-execute'
          : 'supervisor-execute'
        : write
          ? 'write'
          : 'read',
  };
}
