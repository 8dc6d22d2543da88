import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { TableFrames } from '@heki/second-level';

/** The host that virtual machines live in. */
export interface Host {
  /** All of the host's physical memory: guest memory and the hypervisor's tables are frames of it. */
  readonly memory: PhysicalMemory<Pfn>;
  /** Frames for second-level tables. They must not overlap guest memory. */
  readonly frames: TableFrames;
}

/**
 * Guest frames `start` .. `start + frames` - 1, backed by the host frames from `backing` on. Regions may share
 * host frames: what is withheld from one of their names is withheld from the bytes.
 */
export interface GuestMemoryRegion {
  readonly start: Gfn;
  readonly frames: number;
  readonly backing: Pfn;
  /** The guest may not write here, whatever rights it asks for (ROM). */
  readonly readOnly?: boolean;
  /** Largest leaf that the host mapping allows, in frames. Default 2^18 (1 GiB). */
  readonly largestLeaf?: 1 | 512 | 262144 | undefined;
}
