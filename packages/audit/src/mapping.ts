import type { RegionName } from '@heki/vmcore';
import type { MappingLeaf } from '@heki/x86';

/** Where an address lies: a region of the kernel's half, or the other half. */
export type PlaceName = RegionName | "user mode's half";

/** A leaf of page tables. */
export interface Mapping extends Readonly<MappingLeaf> {
  /** An OR of `Rights`: what all levels together allow. */
  readonly rights: number;
  readonly region: PlaceName;
}
