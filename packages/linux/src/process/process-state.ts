import type { Gfn } from '@heki/physical-memory';
import type { PageTables } from '../mm/page-tables.ts';
import type { SmpState } from '../smp/smp-state.ts';
import type { UserProcess } from './user-process.ts';

/** A process as the kernel keeps it. */
export interface Process extends UserProcess {
  readonly tables: PageTables;
  /** The frames of its pages, in the order of their addresses. */
  readonly frames: Gfn[];
  /** How often it has run. */
  runs: number;
}

/** User processes, and the processors and the memory that they run on. */
export interface ProcessState extends SmpState {
  /** By their numbers. */
  readonly processes: Map<number, Process>;
}
