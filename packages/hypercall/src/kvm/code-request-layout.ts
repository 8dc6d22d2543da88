import type { Gfn } from '@heki/physical-memory';

/**
 * The bytes of requests to an owner of the guest's code ({@link KvmHypercall.CODE_SEAL} and those after it). A page of them begins with
 *
 * ```
 *   0 next   u64: guest-physical address of the next page, 0 at the end; 0 for pokes
 *   8 count  u32: entries in this page
 *  12 -      u32: 0
 *  16 entries
 * ```
 *
 * SEAL and LOAD have records of 16 bytes, in which what follows belongs to the part, or file, before it:
 *
 * ```
 *   FILE    value 0       data bytes of the file        LOAD only, and first: its extents follow
 *   PART    value 0       data virtual address          one for each part of the image, in its order
 *   EXTENT  value frames  data guest-physical address   memory in a row
 *   STATE   value site    data state                    SEAL: a site that is not in state 0; ascending
 * ```
 *
 * POKE has entries of 12 bytes: `{ image u32, site u32, state u32 }`. All fields are little-endian.
 */

export const CODE_REQUEST_HEADER_SIZE = 16;
export const CODE_RECORD_SIZE = 16;
/** Records that a page holds: (4096 - 16) / 16. */
export const CODE_RECORDS_PER_PAGE = 255;
export const CODE_POKE_SIZE = 12;
/** Pokes that a page holds: (4096 - 16) / 12. */
export const CODE_POKES_PER_PAGE = 340;

/** Kinds of records. */
export const CodeRecord = { FILE: 1, PART: 2, EXTENT: 3, STATE: 4 } as const;

/** Guest frames in a row. */
export interface CodeExtent {
  readonly start: Gfn;
  /** At least 1. */
  readonly frames: number;
}

/** Where a part of an image lies. */
export interface CodePart {
  /** A virtual address, 0 .. 2^64 - 1. */
  readonly address: bigint;
  readonly extents: readonly CodeExtent[];
}

/** A site that is not in state 0. */
export interface CodeSiteState {
  readonly site: number;
  readonly state: number;
}

/** What SEAL says: where the kernel lies, and what its sites are. */
export interface CodeSeal {
  readonly parts: readonly CodePart[];
  readonly states: readonly CodeSiteState[];
}

/** What LOAD says: where a file lies, and where its image shall. */
export interface CodeLoad {
  readonly file: { readonly bytes: number; readonly extents: readonly CodeExtent[] };
  readonly parts: readonly CodePart[];
  /** None: a module begins with all sites in state 0. A weaker owner takes sites of the guest's own here (B-A3). */
  readonly states: readonly CodeSiteState[];
}

/** A site, and the state that it shall have. */
export interface CodePoke {
  readonly image: number;
  readonly site: number;
  readonly state: number;
}
