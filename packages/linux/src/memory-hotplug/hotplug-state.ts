import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { SmpState } from '../smp/smp-state.ts';

/** A section that the kernel took. */
export interface AddedSection {
  readonly range: FrameRange<Gfn>;
  /** Its part of the array of struct page. */
  readonly map: Gfn;
  /** Where memory ended before. */
  readonly memoryEnd: Gfn;
}

/** Memory that was plugged in, and what it joins. */
export interface HotplugState extends SmpState {
  /** The latest last. */
  readonly addedSections: AddedSection[];
}
