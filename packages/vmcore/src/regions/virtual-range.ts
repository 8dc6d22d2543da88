import type { VirtualFrame } from '@heki/physical-memory';

/** Virtual frames `start` .. `end` - 1. */
export interface VirtualRange {
  readonly start: VirtualFrame;
  readonly end: VirtualFrame;
}
