import type { RegionName } from '@heki/vmcore';
import type { MappingLeaf } from '@heki/x86';

/** A leaf of the kernel's half. */
export interface Mapping extends Readonly<MappingLeaf> {
  /** An OR of `Rights`: what all levels together allow. */
  readonly rights: number;
  readonly region: RegionName;
}
