import type { Gfn, PhysicalMemory } from '@heki/physical-memory';

/** The kernel's memory, as far as a driver builds lists in it. */
export interface DriverMemory {
  /** Guest-physical memory, for reading the core's page lists. */
  readonly memory: Pick<PhysicalMemory<Gfn>, 'page'>;
  /** A page of the kernel, or `undefined` when there is none. */
  allocatePage(): Gfn | undefined;
  freePage(frame: Gfn): void;
  /** Stores `bytes` at `offset` of a page from {@link allocatePage}. `false` when the store faulted. */
  store(frame: Gfn, offset: number, bytes: Uint8Array): boolean;
}
