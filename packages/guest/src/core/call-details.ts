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
}

/** Brings a call's mappings, in order. */
export type MappingSource = (feed: (leaf: NamedLeaf) => void) => void;
