import type { Gfn, Hpa, Pfn } from '@heki/physical-memory';

/**
 * What one access asks of the second level: an OR of these bits. A plain number, because a two-dimensional walk
 * makes up to 25 such requests (SDM 3C 29.3.2) and must not allocate for each.
 */
export const SecondLevelAccess = {
  /** A data read, or the read of a guest paging-structure entry. */
  READ: 1 << 0,
  /** A data write (a read-modify-write has READ and WRITE), or the write of an accessed or dirty flag. */
  WRITE: 1 << 1,
  /** An instruction fetch. */
  FETCH: 1 << 2,
  /** The address is that of a guest paging-structure entry, not the translation of the linear address. */
  PAGING_STRUCTURE: 1 << 3,
  /**
   * The first access of a walk, so that what was gathered over an earlier one is forgotten: to its root entry, or with
   * CR0.PG = 0 to the page itself.
   */
  WALK_START: 1 << 4,
  /** The access comes with a linear address (all but PDPTE loads by MOV CR3). */
  LINEAR_VALID: 1 << 5,
  /** The linear address is user-mode: every guest entry used has U/S = 1, or CR0.PG = 0. */
  USER_PAGE: 1 << 6,
  /** The linear address is writable: every guest entry used has R/W = 1, or CR0.PG = 0. */
  WRITABLE_PAGE: 1 << 7,
  /** The linear address is execute-disabled by some guest entry used. */
  EXECUTE_DISABLE_PAGE: 1 << 8,
  /** The access itself is a user-mode access (CPL 3): what AMD's GMET looks at. */
  USER_ACCESS: 1 << 9,
  /** A shadow-stack access. */
  SHADOW_STACK: 1 << 10,
} as const;

/**
 * What a translation by the second level would allow as it stands - without updating any flag in the second-level
 * tables, and so from a cache: an OR of these bits.
 */
export const SecondLevelRights = {
  /** A data read. */
  READ: 1 << 0,
  /** A data write: allowed, and the dirty flag, where there are any, is set already. */
  WRITE: 1 << 1,
  /** A fetch at CPL < 3 through a supervisor-mode linear address. */
  FETCH_SUPERVISOR: 1 << 2,
  /** A fetch at CPL < 3 through a user-mode linear address. */
  FETCH_SUPERVISOR_FROM_USER_PAGE: 1 << 3,
  /** A fetch at CPL 3 (through a user-mode linear address; the first stage refuses others). */
  FETCH_USER: 1 << 4,
  /** The read of a guest paging-structure entry. */
  READ_PAGING_STRUCTURE: 1 << 5,
  /** The write of an accessed or dirty flag in a guest paging-structure entry. */
  WRITE_PAGING_STRUCTURE: 1 << 6,
} as const;

/** The answer of {@link SecondLevel.translate} when the access is refused. */
export const REFUSED = -1;

/**
 * The second level of translation, from guest-physical to host-physical: the port through which the processor's
 * page walk asks EPT, NPT or anything else. It is owned here and implemented above.
 */
export interface SecondLevel<Fault = unknown> {
  /**
   * Translates the guest-physical address `gfn << 12 | offset` for `access`, an OR of
   * {@link SecondLevelAccess} bits, and updates accessed and dirty flags of the second-level tables as the hardware does.
   *
   * Returns the host frame, or {@link REFUSED}; then {@link fault} tells why. Never throws for what a guest or the
   * bytes of the tables can cause, and allocates nothing when the access is allowed.
   */
  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED;
  /** Why the latest {@link translate} refused. Meaningful only right after it did. */
  readonly fault: Fault | undefined;
  /** Size of the leaf that the latest allowed {@link translate} used: 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB). */
  readonly level: number;
  /** What that translation would allow from a cache: an OR of {@link SecondLevelRights} bits. */
  readonly rights: number;
  /**
   * The same translation as {@link translate} step by step, for readers: it changes nothing. Absent where what translates cannot tell its
   * steps.
   */
  explain?(gfn: Gfn, offset: number, access: number): SecondLevelWalk;
}

/** One entry that a walk of second-level tables read. */
export interface SecondLevelStep {
  /** As of guest paging: 5 PML5E, 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE. */
  readonly level: number;
  /** Where the entry lies in host memory. */
  readonly address: Hpa;
  readonly entry: bigint;
  /** `leaf` and `table`; any other word is why the walk ended there. */
  readonly finding: string;
}

/** A translation by the second level, explained. */
export interface SecondLevelWalk {
  /** Root first. */
  readonly steps: readonly SecondLevelStep[];
  /** Why it ended as it did, in a sentence without a capital or a full stop. */
  readonly reason: string;
  readonly allowed: boolean;
}
