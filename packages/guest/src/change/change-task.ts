import type { HekiCommand } from '../command.ts';
import type { CountingTask } from '../counters/page-counters.ts';
import type { AttributeChange } from '../heki-guest.ts';
import type { VirtualRange } from '../kernel/kernel.ts';

/** What a call of the core does with the mappings that it is given. */
export interface ChangeTask extends AttributeChange {
  readonly command: HekiCommand;
  /**
   * The page tables are yet to change: what pages gain waits until the change is in force, unless B-G22. Default false: they have
   * changed, or nothing waits.
   */
  readonly early?: boolean;
  /** The virtual range that is walked. */
  readonly range?: VirtualRange;
  /** For many mappings at once, of which none has been counted: takes the number of leaves. */
  readonly onCounted?: (leaves: number) => void;
  /** Switches enforcement on, and what that does to the counters. */
  readonly protection?: CountingTask['protection'] | undefined;
  /** With `protection`: pages that have mappings, but none among those of the call, are sent too. */
  readonly elsewhere?: boolean;
}
