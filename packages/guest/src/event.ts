import type { Gfn, Gpa, VirtualFrame } from '@heki/physical-memory';
import type { HekiCommand } from './command.ts';
import type { VirtualRange } from './kernel/kernel.ts';

/** What the core reports while it works. Frames are guest frames. */
export type GuestEvent =
  | {
      /** A line for the kernel's log (all are `pr_warn`). */
      readonly type: 'log';
      readonly text: string;
    }
  | {
      /** A WARN or WARN_ONCE of the kernel; the latter is reported once per core. */
      readonly type: 'warning';
      readonly text: string;
    }
  | {
      /** Mappings were handed to the counters. */
      readonly type: 'mappings';
      readonly command: HekiCommand;
      /** The virtual range that was walked; absent when the caller named the mappings. */
      readonly range: VirtualRange | undefined;
      /** Mappings whose first frame is valid memory. */
      readonly leaves: number;
      /** Frames that they map, counted once for each mapping. */
      readonly frames: number;
    }
  | {
      /** Page tables have no end: nothing from this virtual frame on was walked, and the call fails. */
      readonly type: 'walk-stopped';
      readonly stoppedAt: VirtualFrame;
      /** Table pages that were looked for. */
      readonly tables: number;
    }
  | {
      /** Entries lead several times to the same tables: what these map was visited once, and counted as often as it is mapped. */
      readonly type: 'shared-tables';
      /** Places that were not gone through again. */
      readonly places: number;
      /** Mappings at these places. */
      readonly mappings: number;
      /** Tables that stand at more than one level: they lead to themselves. */
      readonly tablesAtSeveralLevels: number;
    }
  | {
      /** Frames of RAM were sent that are mapped, but not in the range that protection walked (without B-G24). */
      readonly type: 'protected-elsewhere';
      readonly frames: number;
    }
  | {
      /** A page list was handed to the hypervisor. */
      readonly type: 'page-list';
      /** Guest-physical address of its newest page. */
      readonly list: Gpa;
      readonly pages: number;
      readonly ranges: number;
      readonly frames: number;
      /** 0, or the hypervisor's negative error number. */
      readonly result: number;
    }
  | {
      /** A range was left out of a list, without an error, because no page was there for it (B-G2). */
      readonly type: 'range-dropped';
      readonly start: Gfn;
      readonly end: Gfn;
      readonly permissions: number;
    }
  | {
      /** The pages of a refused list were not freed (B-G1). */
      readonly type: 'list-leaked';
      readonly pages: number;
    }
  | {
      /** The counters were put back to what they were, because the change did not reach the hypervisor. */
      readonly type: 'rolled-back';
      readonly command: HekiCommand;
      readonly error: number;
    }
  | {
      /** A call came from inside another one, which holds the lock: the kernel would hang here (B-G13). */
      readonly type: 'self-deadlock';
      readonly command: HekiCommand;
    };
