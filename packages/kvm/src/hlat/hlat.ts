import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { PagingLevels } from '@heki/x86';
import type { LeafBits } from './hlat-tables.ts';
import type { HlatSettings } from './options.ts';

/** A linear address that is listed, and what it maps. */
export interface ListedPage extends LeafBits {
  readonly frame: VirtualFrame;
  readonly gfn: Gfn;
  /** Listed for the processor, whatever becomes of the rights of its frame. */
  readonly fixed: boolean;
}

/** Guest frames whose rights have changed. */
export interface ChangedFrames {
  readonly start: Gfn;
  readonly end: Gfn;
}

/**
 * Which linear addresses cannot be mapped anew: those that mapped protected frames when these were protected. The owner has tables of
 * its own for them (SDM 3A 4.5.1), which translate instead of CR3's, whatever CR3 is.
 */
export interface Hlat {
  readonly settings: HlatSettings;
  /** Whether a guest frame is one of the owner's. */
  owns(gfn: Gfn): boolean;
  /** Whether guest frames would lie over the owner's. */
  overlaps(start: number, end: number): boolean;
  /** Everything that is listed. */
  readonly pages: ReadonlyMap<VirtualFrame, ListedPage>;
  /** Pages of tables. */
  readonly tablePages: number;
  /** Pages that were mapped to protected frames and could not be listed: no frame was left for a table, or their address is listed otherwise. */
  readonly unlisted: number;
  /** Levels of the tables, once there are some. */
  readonly levels: PagingLevels | undefined;
  /**
   * Rights of frames have changed on a request that `vcpu` made, or without one: lists what is protected now, and drops what is data again. The
   * IDT, GDT and TSS are those of the first such request, and a frame is executable at one address alone: the one that mapped it as code when it became
   * code, at none if there were several.
   */
  follow(ranges: readonly ChangedFrames[], vcpu: Vcpu | undefined): void;
  /** A virtual CPU is new. */
  join(vcpu: Vcpu): void;
  /** Forgets what is listed and takes this; no levels mean no tables. */
  replace(pages: readonly ListedPage[], levels: PagingLevels | undefined): void;
}
