import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { FrameRights } from './frames/frame-type.ts';

/** What the owner needs of the hypervisor that it is part of. */
export interface AuthorityHost {
  readonly memory: PhysicalMemory<Pfn>;
  /** The host frame that a guest frame leads to now; `undefined` when there is no memory. */
  hostFrame(gfn: Gfn): Pfn | undefined;
  /**
   * Sets what the guest's kernel may do with host frames, through every guest frame that leads to them. Processors may go on with what they
   * have cached until {@link flush}.
   */
  setRights(frames: readonly Pfn[], rights: FrameRights): void;
  /** From the seal on: what it may do with all frames that nothing was set for. */
  setOtherRights(rights: FrameRights): void;
  /** Every processor drops what it has cached of the second level. */
  flush(): void;
  /** Does `work` while no processor is in the guest. Entering it again serialises: no processor executes a half of what was written. */
  stopped<Result>(work: () => Result): Result;
  /** What blinds constants of compiled programs: 32 bytes that the guest cannot know. */
  readonly secret: Uint8Array;
  /** Virtual CPUs that run. */
  readonly processors: number;
}
