import type { CountingTask } from '../counters/page-counters.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import type { VirtualRange } from '../kernel/kernel.ts';

/** What only some calls of a core have. */
export interface CallDetails {
  /** The virtual range that is walked. */
  readonly range?: VirtualRange;
  /** For many mappings at once, of which none has been counted: takes the number of leaves. */
  readonly onCounted?: (leaves: number) => void;
  /** Switches enforcement on, and what that does to the counters. */
  readonly protection?: CountingTask['protection'] | undefined;
  /** With `protection`: pages that have mappings, but none among those of the call, are sent too. */
  readonly elsewhere?: boolean;
}

/** Brings a call's mappings, in order. 0, or the negative error number of one that could not bring all. */
export type MappingSource = (feed: (leaf: NamedLeaf) => void) => number;
