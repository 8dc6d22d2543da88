import type { Gpa } from '@heki/physical-memory';

/** A stretch of guest-physical memory that a dump holds. */
export interface VmcoreSegment {
  readonly start: Gpa;
  /** Exclusive. */
  readonly end: Gpa;
}
