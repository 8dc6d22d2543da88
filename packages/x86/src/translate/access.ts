/**
 * One access as the fast walk takes it: an OR of these bits. READ is a data read, WRITE a write, both together a
 * read-modify-write, FETCH (alone) an instruction fetch.
 */
export const AccessBits = {
  READ: 1 << 0,
  WRITE: 1 << 1,
  FETCH: 1 << 2,
  /** CPL 3. */
  USER: 1 << 3,
  /** Descriptor-table, TSS and similar accesses: supervisor even at CPL 3, and RFLAGS.AC does not help them (SDM 3A 4.6). */
  IMPLICIT_SUPERVISOR: 1 << 4,
} as const;

/** What an access does. */
export type AccessKind = 'read' | 'write' | 'read-modify-write' | 'fetch';

/** Who makes it. `implicit-supervisor`: accesses to descriptor tables, the TSS and the like, at any CPL (SDM 3A 4.6). */
export type AccessMode = 'user' | 'supervisor' | 'implicit-supervisor';

/** One access to a linear address. */
export interface Access {
  readonly kind: AccessKind;
  readonly mode: AccessMode;
}

const KIND: Readonly<Record<AccessKind, number>> = {
  read: AccessBits.READ,
  write: AccessBits.WRITE,
  'read-modify-write': AccessBits.READ | AccessBits.WRITE,
  fetch: AccessBits.FETCH,
};

const MODE: Readonly<Record<AccessMode, number>> = {
  user: AccessBits.USER,
  supervisor: 0,
  'implicit-supervisor': AccessBits.IMPLICIT_SUPERVISOR,
};

/** `access` as an OR of {@link AccessBits}. */
export function accessBits(access: Access): number {
  return KIND[access.kind] | MODE[access.mode];
}
