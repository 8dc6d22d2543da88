/**
 * The bits of EPT paging-structure entries: SDM 3C 29.3.2, tables 29-1 to 29-7. Levels are numbered from the leaf end:
 * 1 EPT PTE, 2 EPT PDE, 3 EPT PDPTE, 4 EPT PML4E, 5 EPT PML5E.
 */

/** A field of a 64-bit entry or register: one row of a bit table. */
export interface BitField {
  readonly name: string;
  /** The lowest bit. */
  readonly bit: number;
  /** How many bits. */
  readonly width: number;
  /** Where the field means something: in entries that refer to a table, in leaves, or in both. */
  readonly where: 'table' | 'leaf' | 'both';
  readonly meaning: string;
}

const field = (
  name: string,
  bit: number,
  where: BitField['where'],
  meaning: string,
  width = 1,
): BitField => ({
  name,
  bit,
  width,
  where,
  meaning,
});

/** Every defined field of an EPT entry, in ascending order. */
export const EPT_ENTRY_FIELDS: readonly BitField[] = [
  field('R', 0, 'both', 'reads are allowed'),
  field('W', 1, 'both', 'writes are allowed'),
  field('X', 2, 'both', 'fetches are allowed; with MBEC fetches from supervisor-mode linear addresses (XS)'),
  field('memory type', 3, 'leaf', '0 UC, 1 WC, 4 WT, 5 WP, 6 WB; 2, 3 and 7 are misconfigurations', 3),
  field('ignore PAT', 6, 'leaf', 'the memory type is the final one, the guest PAT has no say'),
  field('large', 7, 'leaf', 'the entry maps a page; must be set in a 2 MiB or 1 GiB leaf, ignored in a PTE'),
  field('A', 8, 'both', 'accessed, when EPTP[6] enables the flags'),
  field('D', 9, 'leaf', 'dirty, when EPTP[6] enables the flags'),
  field('XU', 10, 'both', 'with MBEC, fetches from user-mode linear addresses are allowed'),
  field('address', 12, 'both', 'the frame of the table or page; bits above MAXPHYADDR must be 0', 40),
  field(
    'verify guest paging',
    57,
    'leaf',
    'refuse translations through page tables without paging-write access',
  ),
  field(
    'paging-write',
    58,
    'leaf',
    'the processor may set A and D of guest paging entries here even when W is 0',
  ),
  field(
    'supervisor shadow stack',
    60,
    'leaf',
    'supervisor shadow-stack accesses are allowed, when EPTP[7] is set',
  ),
  field('suppress #VE', 63, 'both', 'a violation decided by this entry exits and does not become #VE'),
];

/** Rights, in the low half of an entry and in a leaf's effective rights. */
export const EptRight = {
  READ: 1 << 0,
  WRITE: 1 << 1,
  /** Fetches; under MBEC those from supervisor-mode linear addresses (XS). */
  EXECUTE: 1 << 2,
  /** Fetches from user-mode linear addresses, under MBEC (XU). */
  USER_EXECUTE: 1 << 10,
} as const;

/** All bits of {@link EptRight}. */
export const EPT_RIGHTS = 0x407;

/** Other single bits of the low half of an entry. */
export const EptLow = {
  IGNORE_PAT: 1 << 6,
  /** Makes a leaf of a PDE or PDPTE. */
  LARGE: 1 << 7,
  ACCESSED: 1 << 8,
  DIRTY: 1 << 9,
} as const;

/** Single bits of the high half of an entry: bit n of the entry is bit n - 32 here. */
export const EptHigh = {
  VERIFY_GUEST_PAGING: 1 << (57 - 32),
  PAGING_WRITE: 1 << (58 - 32),
  SUPERVISOR_SHADOW_STACK: 1 << (60 - 32),
  SUPPRESS_VE: 0x8000_0000,
} as const;

/** Values of the memory-type field (SDM 3A 12.3). */
export const EptMemoryType = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6 } as const;
